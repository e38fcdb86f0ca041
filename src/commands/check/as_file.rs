//! The `exporter.yaml` that says the same as the given flags, for people to paste.

use crate::config::{ValidatedConfig, to_minimal_yaml};
use std::fmt::Write as _;

/// The file, with comments that say what must stand beside it. `beside` names the flags and variables that no file can say.
pub fn as_file(config: &ValidatedConfig, beside: &[&str]) -> String {
    let file = to_minimal_yaml(config);
    if file.yaml.is_empty() {
        return "# No server is named, and a file must name one: there is no exporter.yaml that says the same.\n"
            .to_owned();
    }
    let mut text = "# exporter.yaml that says the same about servers as the given flags and variables:\n".to_owned();
    for (index, (variable, _)) in file.variables.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = match index {
            0 => writeln!(
                text,
                "# It takes the password from the variable {variable}; a password_file does as well."
            ),
            _ => writeln!(
                text,
                "# Another password that was given belongs into the variable {variable}."
            ),
        };
    }
    for (variable, _) in &file.command_variables {
        let _ = writeln!(
            text,
            "# It takes the name of CONFIG, which is a secret where somebody made one up, from the variable {variable}."
        );
    }
    if !beside.is_empty() {
        let _ = writeln!(text, "# Still needed beside it: {}.", beside.join(", "));
    }
    if file.lookalikes > 0 {
        let _ = writeln!(
            text,
            "# {} texts look like ${{NAME}} and would be taken from the environment: put each of them into a variable.",
            file.lookalikes
        );
    }
    text.push_str(&file.yaml);
    text
}
