//! .NET.

use super::{Detection, KeyType, Preset, TtlKind};
use std::time::Duration;

/// Read: KeyGenerator of Microsoft.Web.RedisSessionStateProvider: up to 4 `{app_id}_Data` (a hash), since 5
/// `{app_id}_SessionStateItemCollection` (a string), lately with a suffix of the serialiser, or without braces when the hash tag is switched off.
/// ASP.NET's ids are 24 characters of a to z and 0 to 5.
pub const ASPNET_SESSION_STATE: Preset = Preset {
    name: "aspnet-session-state",
    library: "ASP.NET `RedisSessionStateProvider`",
    matches: &[
        "{*}_Data",
        "{*}_SessionStateItemCollection*",
        concat!("*_", any!(24), "_SessionStateItemCollection*"),
    ],
    excludes: &["{*}_Internal", "{*}_Write_Lock", "*_SessionTimeout", "*_WriteLock"],
    id: r"^\{?(?P<app>[^{}]*)_[0-5a-z]{24}\}?_(?:Data|SessionStateItemCollection[0-9A-Za-z_]*)$",
    key_type: None,
    ttl: TtlKind::Sliding,
    ttl_offset: Duration::ZERO,
    index_key: None,
    detection: Detection::Auto {
        id: r"^\{?[^{}]*_[0-5a-z]{24}\}?_(?:Data|SessionStateItemCollection[0-9A-Za-z_]*)$",
    },
    samples: &[
        "{/_abcdefghijklmnopqrstuvwx}_Data",
        "{/app_abcdefghijklmnopqrstuvwx}_SessionStateItemCollection",
        "/app_abcdefghijklmnopqrstuvwx_SessionStateItemCollection",
    ],
    counter_samples: &[
        "{/_abcdefghijklmnopqrstuvwx}_Internal",
        "{/_abcdefghijklmnopqrstuvwx}_Write_Lock",
        "{/_abcdefghijklmnopqrstuvwx}_SessionTimeout",
        "{/_a}_Data",
    ],
};

/// Read: SessionMiddleware of ASP.NET Core (the key is a GUID) and RedisCache of Microsoft.Extensions.Caching.StackExchangeRedis (a hash,
/// `InstanceName` before the key). Reading sets the TTL again. Other entries of the cache look the same when their keys are GUIDs.
pub const ASPNETCORE_DISTRIBUTED_CACHE: Preset = Preset {
    name: "aspnetcore-distributed-cache",
    library: "ASP.NET Core session over `AddStackExchangeRedisCache`; better give `match` with the `InstanceName`",
    matches: &[concat!("*", any!(uuid))],
    excludes: &[],
    id: concat!("^(?P<app>.*)", uuid!(), "$"),
    key_type: Some(KeyType::Hash),
    ttl: TtlKind::Sliding,
    ttl_offset: Duration::ZERO,
    index_key: None,
    detection: Detection::ByName,
    samples: &[
        "shop:33fdd1b6-b496-4b33-9f7d-df96679d32fe",
        "33fdd1b6-b496-4b33-9f7d-df96679d32fe",
    ],
    counter_samples: &["shop:products", "shop:33fdd1b6-b496-4b33-9f7d-df96679d32fe:lock"],
};
