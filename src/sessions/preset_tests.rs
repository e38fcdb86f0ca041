//! Every preset against its own samples, its counter samples and those of all others, through the globs and patterns that the scan uses.

use super::detect::Detector;
use super::stores::Store;
use crate::config::StoreConfig;
use crate::config::pattern::IdPattern;
use crate::config::presets::{ALL, Detection, Preset, by_name};
use std::collections::BTreeSet;

fn store(preset: &'static Preset) -> Store {
    Store::new(&StoreConfig::of_preset(preset, 0), "")
}

/// A store that counts only what recognition takes for ids of the library itself.
fn strict(preset: &'static Preset) -> Option<Store> {
    let Detection::Auto { id } = preset.detection else {
        return None;
    };
    let config = StoreConfig {
        id: Some(IdPattern::new(id).unwrap()),
        ..StoreConfig::of_preset(preset, 0)
    };
    Some(Store::new(&config, ""))
}

#[test]
fn every_preset_counts_its_samples_and_nothing_else() {
    for preset in ALL {
        let store = store(preset);
        assert!(
            !preset.samples.is_empty() && !preset.counter_samples.is_empty(),
            "{}",
            preset.name
        );
        for sample in preset.samples {
            assert!(store.contains(sample.as_bytes()), "{}: {sample}", preset.name);
        }
        for sample in preset.counter_samples {
            assert!(!store.contains(sample.as_bytes()), "{}: {sample}", preset.name);
            // Anchored at both ends.
            assert!(
                !store.contains(format!("x{sample}x").as_bytes()),
                "{}: x{sample}x",
                preset.name
            );
        }
        for sample in preset.samples {
            assert!(
                !store.contains(format!("{sample}\n").as_bytes()),
                "{}: {sample}",
                preset.name
            );
            assert!(
                !store.contains(format!("{sample}:lock").as_bytes()),
                "{}: {sample}",
                preset.name
            );
        }
    }
}

#[test]
fn patterns_compile_are_anchored_and_globs_are_what_redis_understands() {
    assert!(ALL.len() <= 64, "a set of presets has 64 bits");
    let names: BTreeSet<&str> = ALL.iter().map(|preset| preset.name).collect();
    assert_eq!(names.len(), ALL.len(), "two presets have the same name");
    for preset in ALL {
        let auto = match preset.detection {
            Detection::Auto { id } => Some(id),
            Detection::ByName => None,
        };
        for pattern in [Some(preset.id), auto].into_iter().flatten() {
            assert!(IdPattern::new(pattern).is_ok(), "{}: {pattern}", preset.name);
            assert!(
                pattern.starts_with('^') && pattern.ends_with('$'),
                "{}: {pattern}",
                preset.name
            );
            assert!(
                !pattern.contains("(?P<id>") && !pattern.contains("(?P<user>"),
                "{}",
                preset.name
            );
        }
        for glob in preset.matches.iter().chain(preset.excludes) {
            assert!(!glob.contains('\\'), "{}: {glob} has an escape", preset.name);
            assert!(
                !glob.contains("_-]") && !glob.contains(":-]"),
                "{}: {glob} is an empty range",
                preset.name
            );
        }
        assert!(!preset.matches.is_empty(), "{}", preset.name);
        assert_eq!(by_name(preset.name).unwrap().id, preset.id);
    }
    assert!(by_name("grafana-remote-cache").is_none() && by_name("iron-session").is_none());
}

#[test]
fn what_is_recognised_is_counted_and_by_one_preset_only() {
    let strict: Vec<(&Preset, Store)> = ALL
        .iter()
        .filter_map(|preset| Some((preset, strict(preset)?)))
        .collect();
    assert!(strict.len() >= 25, "{}", strict.len());
    for (preset, recognised) in &strict {
        let own = preset
            .samples
            .iter()
            .filter(|key| recognised.contains(key.as_bytes()))
            .count();
        assert!(own > 0, "{} does not recognise its own samples", preset.name);
        let counted = store(preset);
        for other in ALL {
            for sample in other.samples {
                let key = sample.as_bytes();
                assert!(
                    !recognised.contains(key) || counted.contains(key),
                    "{}: {sample}",
                    preset.name
                );
                assert!(
                    preset.name == other.name || !recognised.contains(key),
                    "{} takes {sample} of {} for its own",
                    preset.name,
                    other.name
                );
            }
        }
    }
    // Stores that can be recognised together never count the same key.
    for key in ALL.iter().flat_map(|preset| preset.samples) {
        let counting: Vec<&str> = strict
            .iter()
            .filter(|(preset, _)| store(preset).contains(key.as_bytes()))
            .map(|(preset, _)| preset.name)
            .collect();
        assert!(counting.len() <= 1, "{key} is counted by {counting:?}");
    }
}

#[test]
fn groups_name_applications() {
    for (name, key, app) in [
        (
            "django-cache-session",
            ":1:django.contrib.sessions.cachek3x9q0zt1m5v7b2n4c6l8j0h9g7f5d3s",
            Some(""),
        ),
        (
            "django-cache-session",
            "shop:1:django.contrib.sessions.cachek3x9q0zt1m5v7b2n4c6l8j0h9g7f5d3s",
            Some("shop"),
        ),
        (
            "laravel-cache-session",
            "shop_database_shop_cache_AbCdEfGhIjKlMnOpQrStUvWxYz0123456789abcd",
            Some("shop"),
        ),
        (
            "laravel-cache-session",
            "shop-cache-AbCdEfGhIjKlMnOpQrStUvWxYz0123456789abcd",
            None,
        ),
        (
            "codeigniter",
            "ci_session:shop:10.1.2.3:7u2cvl2dnp1jkq3f0b8m5t6r9s012345",
            Some("shop"),
        ),
        (
            "codeigniter",
            "ci_session:10.1.2.3:7u2cvl2dnp1jkq3f0b8m5t6r9s012345",
            None,
        ),
        (
            "aspnet-session-state",
            "{/app_abcdefghijklmnopqrstuvwx}_SessionStateItemCollection",
            Some("/app"),
        ),
        (
            "oauth2-proxy",
            "_oauth2_proxy_shop-0123456789abcdef0123456789abcdef",
            Some("_oauth2_proxy_shop"),
        ),
        (
            "redisson-tomcat",
            "app1:redisson:tomcat_session:4FA8FF53011B10BB0C12AC38AACEFCF4",
            Some("app1"),
        ),
        (
            "rails-cache-store",
            "_session_id:0123456789abcdef0123456789abcdef",
            None,
        ),
        (
            "sa-token",
            "satoken:login:token:33fdd1b6-b496-4b33-9f7d-df96679d32fe",
            Some("satoken"),
        ),
    ] {
        let pattern = IdPattern::new(by_name(name).unwrap().id).unwrap();
        assert!(pattern.matches(key.as_bytes()), "{name}: {key}");
        assert_eq!(pattern.app(key.as_bytes()), app.map(str::as_bytes), "{name}: {key}");
    }
}

#[test]
fn ids_of_applications_own_making_are_counted_under_the_presets_prefix() {
    let connect = store(by_name("connect-redis").unwrap());
    for key in [
        "sess:oauth:Kc3v2lJ0gkz0",
        "sess:guest:33fdd1b6-b496-4b33-9f7d-df96679d32fe",
        "sess:12345678",
    ] {
        assert!(connect.contains(key.as_bytes()), "{key}");
    }
    assert!(!connect.contains(b"sess:locks"));
    // They are counted when the preset is named, but nothing is recognised by them.
    let mut detector = Detector::new();
    for number in 0..1000 {
        detector.observe(format!("sess:oauth:{number:012}").as_bytes());
    }
    assert!(detector.candidates().is_empty());
}
