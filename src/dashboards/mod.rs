//! The dashboards for Grafana that fit the metrics and rules of this program.
