//! `lua` and `search`: what the sections say, and what they switch on.

use super::super::optional::LuaScript;
use super::*;

#[test]
fn scripts_and_indexes_are_taken_from_the_nearest_level() {
    let config = good("lua_and_search");
    let [a, b, c, d] = config.instances.as_slice() else {
        panic!("{} instances", config.instances.len())
    };
    let folder = repository().join("tests/fixtures/config/good");
    let of_defaults = LuaScript {
        file: folder.join("scripts/queues.lua"),
        name: "scripts/queues.lua".to_owned(),
        read_only: true,
    };
    assert_eq!(
        *a.optional.lua,
        [of_defaults],
        "the label is the path as it was written"
    );
    let names: Vec<(&str, bool)> = b
        .optional
        .lua
        .iter()
        .map(|script| (script.name.as_str(), script.read_only))
        .collect();
    let expected = [
        ("/etc/redis-session-exporter/counts.lua", true),
        ("queues", true),
        ("old.lua", false),
    ];
    assert_eq!(names, expected);
    assert!(c.optional.lua.is_empty());
    assert_eq!(d.optional.lua, a.optional.lua, "a key without a value says nothing");
    let indexes = |instance: &InstanceConfig| {
        instance
            .optional
            .search
            .indexes
            .as_ref()
            .map(|it| it.as_str().to_owned())
    };
    let found: Vec<Option<String>> = config.instances.iter().map(|instance| indexes(instance)).collect();
    let session = || Some("^session".to_owned());
    assert_eq!(found, [session(), Some(".*".to_owned()), session(), session()]);
}

#[test]
fn what_they_name_runs_without_a_switch() {
    let config = good("lua_and_search");
    let on = |name: &str| -> Vec<bool> {
        config
            .instances
            .iter()
            .map(|instance| instance.collectors[name])
            .collect()
    };
    assert_eq!(on("lua"), [true, true, false, true]);
    assert_eq!(on("search"), [true, true, false, true]);
    let plain = &super::config("instances: [{address: h}]").instances[0];
    assert!(!plain.collectors["lua"] && !plain.collectors["search"]);
    let switched = &super::config("instances: [{address: h, collectors: {search: true}}]").instances[0];
    assert!(switched.collectors["search"] && switched.optional.search.indexes.is_none());
}

#[test]
fn scripts_that_may_write_or_are_not_there_are_warned_of() {
    let loaded = loaded("instances: [{address: h, lua: [{file: none.lua, read_only: false}]}]");
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    let [missing, write] = warnings.as_slice() else {
        panic!("{warnings:?}")
    };
    assert!(write.contains("lua[0].read_only: lets the script write"), "{write}");
    assert!(
        missing.contains("lua[0].file: names no file that is there now"),
        "{missing}"
    );
}

#[test]
fn scripts_of_defaults_are_kept_once() {
    let config = super::config("defaults: {lua: [a.lua]}\ninstances: [{address: a}, {address: b}]");
    let [a, b] = config.instances.as_slice() else { panic!() };
    assert!(Arc::ptr_eq(&a.optional.lua, &b.optional.lua));
}
