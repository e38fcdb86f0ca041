//! SECURITY.md names the test that holds each promise.

use std::path::Path;

/// Promises that the page has at least.
const LEAST_TESTS: usize = 25;

#[test]
fn every_promise_names_a_test_that_is_there() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(repository.join("SECURITY.md")).unwrap();
    let is_name = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    let tests: Vec<Vec<&str>> = page
        .split('`')
        .skip(1)
        .step_by(2)
        .map(|code| code.split("::").collect::<Vec<&str>>())
        .filter(|parts| {
            parts.len() > 1
                && parts.iter().all(|part| is_name(part))
                && *parts != ["canary", "page"]
                && *parts != ["file", "test"]
        })
        .collect();
    assert!(tests.len() >= LEAST_TESTS, "{} tests are named", tests.len());
    for parts in tests {
        let (test, modules) = parts.split_last().unwrap();
        let file = repository
            .join("tests/servers")
            .join(modules.join("/"))
            .with_extension("rs");
        let source = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        assert!(
            source.contains(&format!("#[test]\nfn {test}()")),
            "{} holds no test {test}",
            file.display()
        );
    }
}
