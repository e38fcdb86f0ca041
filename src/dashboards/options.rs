//! Settings that panels of one kind share.

use super::panel::Kind;
use serde_json::{Map, Value, json};

/// Whether colours follow the values or the series.
pub(super) const fn color_mode(kind: Kind) -> &'static str {
    match kind {
        Kind::TimeSeries | Kind::Pie => "palette-classic",
        Kind::Stat | Kind::Gauge | Kind::BarGauge | Kind::Table | Kind::Heatmap | Kind::StateTimeline => "thresholds",
    }
}

/// The panel's own settings.
pub(super) fn options(kind: Kind) -> Value {
    let last = json!({"calcs": ["lastNotNull"], "fields": "", "values": false});
    match kind {
        Kind::Stat => json!({
            "colorMode": "background", "graphMode": "none", "justifyMode": "auto", "orientation": "auto", "textMode": "auto",
            "wideLayout": true, "percentChangeColorMode": "standard", "showPercentChange": false, "reduceOptions": last,
        }),
        Kind::Gauge => json!({
            "orientation": "auto", "showThresholdLabels": false, "showThresholdMarkers": true, "minVizHeight": 75, "minVizWidth": 75,
            "sizing": "auto", "reduceOptions": last,
        }),
        Kind::BarGauge => json!({
            "displayMode": "basic", "orientation": "horizontal", "valueMode": "color", "namePlacement": "auto", "showUnfilled": true,
            "sizing": "auto", "minVizHeight": 16, "minVizWidth": 8, "maxVizHeight": 28, "reduceOptions": last,
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": false, "calcs": []},
        }),
        Kind::TimeSeries => json!({
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": []},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }),
        Kind::Table => json!({"showHeader": true, "cellHeight": "sm", "frameIndex": 0}),
        Kind::Heatmap => json!({
            "calculate": false, "cellGap": 1, "showValue": "never", "filterValues": {"le": 1e-9}, "legend": {"show": true},
            "color": {"mode": "scheme", "scheme": "Oranges", "scale": "exponential", "exponent": 0.5, "steps": 64, "reverse": false, "fill": "dark-orange"},
            "exemplars": {"color": "rgba(255, 0, 255, 0.7)"}, "rowsFrame": {"layout": "auto"},
            "tooltip": {"mode": "single", "yHistogram": false, "showColorScale": false},
            "yAxis": {"axisPlacement": "left", "reverse": false, "unit": "s"},
        }),
        Kind::Pie => json!({
            "pieType": "donut", "displayLabels": ["percent"], "reduceOptions": last, "tooltip": {"mode": "single", "sort": "none"},
            "legend": {"displayMode": "table", "placement": "right", "showLegend": true, "values": ["value"], "calcs": []},
        }),
        Kind::StateTimeline => json!({
            "showValue": "auto", "mergeValues": true, "perPage": 14, "rowHeight": 0.9, "alignValue": "left",
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": false, "calcs": []},
            "tooltip": {"mode": "single", "sort": "none"},
        }),
    }
}

/// Settings of each field, under `custom`.
pub(super) fn custom(kind: Kind) -> Map<String, Value> {
    let custom = match kind {
        Kind::TimeSeries => json!({
            "drawStyle": "line", "lineInterpolation": "linear", "lineWidth": 1, "fillOpacity": 0, "showPoints": "never", "spanNulls": false,
        }),
        Kind::StateTimeline => json!({"fillOpacity": 70, "lineWidth": 0}),
        Kind::Heatmap => json!({
            "scaleDistribution": {"type": "linear"}, "hideFrom": {"legend": false, "tooltip": false, "viz": false},
        }),
        Kind::Table => json!({"minWidth": 60}),
        Kind::Stat | Kind::Gauge | Kind::BarGauge | Kind::Pie => Value::Null,
    };
    match custom {
        Value::Object(custom) => custom,
        _ => Map::new(),
    }
}
