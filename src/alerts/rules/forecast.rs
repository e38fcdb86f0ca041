//! When something will be full.

/// Holds where `series` reaches `limit` within `horizon`. It must have grown that fast for six hours, and for the last one too: a step that is over is
/// no growth. It holds for an hour after one, so that alerts have to wait longer. Three hours of history must be there, or a start would be taken for
/// growth. And it must be more than the usual wave, as it was within half an hour of this time a day and a week ago, or every morning would be
/// told as the end. The value is what the six hours lead to.
pub(super) fn reaches(series: &str, limit: &str, horizon: &str, only_where: &str) -> String {
    format!(
        "predict_linear({series}[6h], {horizon}) >= {limit}\n\
         and\n\
         predict_linear({series}[1h], {horizon}) >= {limit}\n\
         and\n\
         {only_where}\n\
         and\n\
         {series} offset 3h\n\
         unless\n\
         {series} <= $usual_wave * max_over_time({series}[1h] offset 23h30m)\n\
         unless\n\
         {series} <= $usual_wave * max_over_time({series}[1h] offset 167h30m)"
    )
}
