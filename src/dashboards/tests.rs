//! The dashboards held against the files that are shipped.

use super::*;
use std::path::PathBuf;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// `UPDATE=1 cargo test --lib dashboards` writes them.
#[test]
fn the_shipped_files_are_the_output() {
    for dashboard in ALL {
        let path = root().join("dashboards").join(dashboard.file_name());
        let text = dashboard.text();
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let shipped = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            shipped == text,
            "{} is not what `dashboards` writes; UPDATE=1 cargo test --lib dashboards writes it again",
            path.display()
        );
    }
}
