//! `rules` and `dashboards`: write what fits the metrics of this program into a folder, or to standard output.

use super::{EXIT_CONFIG, EXIT_FAILURE, EXIT_OK, EXIT_USAGE};
use crate::alerts::{FILES, Values, render, values};
use crate::dashboards;
use std::io::Write;
use std::path::{Path, PathBuf};

/// How rules are written (`--format`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum RuleFormat {
    /// Files for `rule_files` of Prometheus
    #[default]
    Prometheus,
    /// One manifest PrometheusRule for the Prometheus Operator
    PrometheusRule,
}

/// How dashboards are written (`--format`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum DashboardFormat {
    /// JSON for the import and the provisioning of Grafana
    #[default]
    Json,
    /// A ConfigMap for each, labelled for the sidecar of Grafana's chart
    ConfigMap,
}

/// What to write of the rules.
#[derive(Debug, Clone, Default)]
pub struct RulesRequest<'a> {
    /// The file of values; `None` for the defaults.
    pub values: Option<&'a Path>,
    /// The folder; `None` for standard output.
    pub folder: Option<&'a Path>,
    /// The format.
    pub format: RuleFormat,
    /// Print the default values instead.
    pub print_values: bool,
}

/// What a command leaves: its exit code and, unless it succeeded, a sentence for standard error.
pub type Outcome = std::io::Result<(u8, Option<String>)>;

/// Writes the rules.
///
/// # Errors
/// When `output` cannot be written. A folder that cannot be written is an outcome that says so.
pub fn rules(request: &RulesRequest<'_>, mut output: impl Write) -> Outcome {
    if request.print_values {
        output.write_all(values::default_file().as_bytes())?;
        return Ok((EXIT_OK, None));
    }
    let values = match request.values.map(Values::load).transpose() {
        Ok(values) => values.unwrap_or_default(),
        Err(errors) => return Ok((EXIT_CONFIG, Some(format!("the file of values is invalid:\n{errors}")))),
    };
    let rendered = match (request.format, request.folder) {
        (RuleFormat::PrometheusRule, _) => {
            render::prometheus_rule(&values).map(|text| vec![("prometheusrule.yaml".to_owned(), text)])
        }
        (RuleFormat::Prometheus, None) => render::whole(&values).map(|text| vec![(String::new(), text)]),
        (RuleFormat::Prometheus, Some(_)) => FILES
            .iter()
            .map(|file| Ok((format!("{}.yaml", file.name), render::file(file, &values)?)))
            .collect(),
    };
    match rendered {
        Ok(files) => write_files(&files, request.folder, output),
        Err(error) => Ok((EXIT_FAILURE, Some(error.to_string()))),
    }
}

/// Writes all dashboards, or the one of this name. To standard output several go as one JSON array.
///
/// # Errors
/// When `output` cannot be written. A folder that cannot be written is an outcome that says so.
pub fn dashboards(name: Option<&str>, folder: Option<&Path>, format: DashboardFormat, output: impl Write) -> Outcome {
    let chosen: Vec<&dashboards::Dashboard> = match name {
        None => dashboards::ALL.iter().collect(),
        Some(name) => match dashboards::find(name) {
            Some(dashboard) => vec![dashboard],
            None => {
                let sentence = format!("there is no such dashboard; there are {}", dashboards::uids());
                return Ok((EXIT_USAGE, Some(sentence)));
            }
        },
    };
    let files: Result<Vec<(String, String)>, serde_yaml::Error> = match format {
        DashboardFormat::Json => Ok(chosen
            .iter()
            .map(|dashboard| (dashboard.file_name(), dashboard.text()))
            .collect()),
        DashboardFormat::ConfigMap => chosen
            .iter()
            .map(|dashboard| Ok((format!("{}.yaml", dashboard.uid), config_map(dashboard)?)))
            .collect(),
    };
    let files = match files {
        Ok(files) => files,
        Err(error) => {
            let sentence = format!("the dashboards cannot be written as YAML: {error}");
            return Ok((EXIT_FAILURE, Some(sentence)));
        }
    };
    if folder.is_none() && format == DashboardFormat::Json && files.len() > 1 {
        let all: Vec<&str> = files.iter().map(|(_, text)| text.trim_end()).collect();
        let array = format!("[\n{}\n]\n", all.join(",\n"));
        return write_files(&[(String::new(), array)], None, output);
    }
    write_files(&files, folder, output)
}

/// A ConfigMap that the sidecar of Grafana's chart finds by its label, which looks for `grafana_dashboard` by default.
fn config_map(dashboard: &dashboards::Dashboard) -> Result<String, serde_yaml::Error> {
    let manifest = serde_json::json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": dashboard.uid, "labels": { "grafana_dashboard": "1" } },
        "data": { dashboard.file_name(): dashboard.text() },
    });
    serde_yaml::to_string(&manifest)
}

/// Writes each file into the folder and names it, or one after the other to `output` (YAML documents are separated by a line).
fn write_files(files: &[(String, String)], folder: Option<&Path>, mut output: impl Write) -> Outcome {
    let Some(folder) = folder else {
        for (index, (_, text)) in files.iter().enumerate() {
            if index > 0 {
                output.write_all(b"---\n")?;
            }
            output.write_all(text.as_bytes())?;
        }
        return Ok((EXIT_OK, None));
    };
    if folder.is_file() {
        let sentence = format!("{} is a file; --output takes a folder", folder.display());
        return Ok((EXIT_FAILURE, Some(sentence)));
    }
    if let Err(error) = std::fs::create_dir_all(folder) {
        return Ok((
            EXIT_FAILURE,
            Some(format!("the folder {} cannot be made: {error}", folder.display())),
        ));
    }
    for (name, text) in files {
        let path = folder.join(name);
        if let Err(error) = replace(&path, text) {
            return Ok((
                EXIT_FAILURE,
                Some(format!("{} cannot be written: {error}", path.display())),
            ));
        }
        writeln!(output, "{}", path.display())?;
    }
    Ok((EXIT_OK, None))
}

/// Writes beside the file and renames, so that whoever reads it never sees half of it.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let beside: PathBuf = path.with_extension("new");
    std::fs::write(&beside, text)?;
    std::fs::rename(&beside, path)
}
