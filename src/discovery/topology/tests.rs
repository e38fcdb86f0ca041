//! Parsers over verbatim replies of real servers, and over what none of them would send.

use super::*;
use crate::redis::resp::{Limits, Parser};
use proptest::prelude::*;

/// CLUSTER SHARDS of Redis 7.0.15, whose `cluster-preferred-endpoint-type` is `hostname`: two shards, one replica, one host name.
const SHARDS_70: &str = "*2\r\n*4\r\n$5\r\nslots\r\n*2\r\n:8001\r\n:16383\r\n$5\r\nnodes\r\n*1\r\n*14\r\n$2\r\nid\r\n$40\r\nc15a294ce64\
    f84ead9e12c9035cb4127c5a694de\r\n$4\r\nport\r\n:31101\r\n$2\r\nip\r\n$9\r\n127.0.0.1\r\n$8\r\nendpoint\r\n$1\r\
    \n?\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$18\r\nreplication-offset\r\n:0\r\n$6\r\nhealth\r\n$6\r\nonline\r\n*4\r\n\
    $5\r\nslots\r\n*2\r\n:0\r\n:8000\r\n$5\r\nnodes\r\n*2\r\n*16\r\n$2\r\nid\r\n$40\r\n76ada49649e8700a2959ea71e1e\
    cd2916ee445b5\r\n$4\r\nport\r\n:31100\r\n$2\r\nip\r\n$9\r\n127.0.0.1\r\n$8\r\nendpoint\r\n$15\r\none.example.c\
    om\r\n$8\r\nhostname\r\n$15\r\none.example.com\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$18\r\nreplication-offset\r\n:\
    14\r\n$6\r\nhealth\r\n$6\r\nonline\r\n*14\r\n$2\r\nid\r\n$40\r\n01162058395785e5a544f3d86f7cf90f87ae57cb\r\n$4\
    \r\nport\r\n:31102\r\n$2\r\nip\r\n$9\r\n127.0.0.1\r\n$8\r\nendpoint\r\n$1\r\n?\r\n$4\r\nrole\r\n$7\r\nreplica\
    \r\n$18\r\nreplication-offset\r\n:0\r\n$6\r\nhealth\r\n$7\r\nloading\r\n";

/// CLUSTER SHARDS of Redis 7.0.15 that nobody has met: it does not know its own address.
const SHARDS_ALONE_70: &str = "*1\r\n*4\r\n$5\r\nslots\r\n*0\r\n$5\r\nnodes\r\n*1\r\n*14\r\n$2\r\nid\r\n$40\r\n76ada49649e8700a2959ea71e1ecd2\
    916ee445b5\r\n$4\r\nport\r\n:31100\r\n$2\r\nip\r\n$0\r\n\r\n$8\r\nendpoint\r\n$0\r\n\r\n$4\r\nrole\r\n$6\r\nma\
    ster\r\n$18\r\nreplication-offset\r\n:0\r\n$6\r\nhealth\r\n$6\r\nonline\r\n";

/// CLUSTER SHARDS of Valkey 9.1 by address; shards have an id.
const SHARDS_91: &str = "*2\r\n*6\r\n$5\r\nslots\r\n*2\r\n:8001\r\n:16383\r\n$5\r\nnodes\r\n*1\r\n*14\r\n$2\r\nid\r\n$40\r\nf27336ff92a\
    987b1a03dfd8504f2d2ce95410d0d\r\n$4\r\nport\r\n:31301\r\n$2\r\nip\r\n$9\r\n127.0.0.1\r\n$8\r\nendpoint\r\n$9\r\
    \n127.0.0.1\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$18\r\nreplication-offset\r\n:0\r\n$6\r\nhealth\r\n$6\r\nonline\r\
    \n$2\r\nid\r\n$40\r\n19030e1857b93daa93c8e1ae0f6823408ac11dca\r\n*6\r\n$5\r\nslots\r\n*2\r\n:0\r\n:8000\r\n$5\
    \r\nnodes\r\n*2\r\n*16\r\n$2\r\nid\r\n$40\r\nbf2c1407d33225c9735f7e929b103654d9880967\r\n$4\r\nport\r\n:31300\
    \r\n$2\r\nip\r\n$9\r\n127.0.0.1\r\n$8\r\nendpoint\r\n$9\r\n127.0.0.1\r\n$8\r\nhostname\r\n$15\r\none.example.c\
    om\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$18\r\nreplication-offset\r\n:0\r\n$6\r\nhealth\r\n$6\r\nonline\r\n*14\r\n\
    $2\r\nid\r\n$40\r\n7d221cb23f29765bca76caec76e0ff38a1c76e3a\r\n$4\r\nport\r\n:31302\r\n$2\r\nip\r\n$9\r\n127.0\
    .0.1\r\n$8\r\nendpoint\r\n$9\r\n127.0.0.1\r\n$4\r\nrole\r\n$7\r\nreplica\r\n$18\r\nreplication-offset\r\n:0\r\
    \n$6\r\nhealth\r\n$7\r\nloading\r\n$2\r\nid\r\n$40\r\n3f4c6a6caa16d9f85b2b1ebffc5dd665934fb8e4\r\n";

/// CLUSTER NODES of Redis 7.0.15.
const NODES_70: &str = "$379\r\nc15a294ce64f84ead9e12c9035cb4127c5a694de 127.0.0.1:31101@41101 master - 0 1795192453000 0 connected 80\
    01-16383\n01162058395785e5a544f3d86f7cf90f87ae57cb 127.0.0.1:31102@41102 slave 76ada49649e8700a2959ea71e1ecd29\
    16ee445b5 0 1795192453211 1 connected\n76ada49649e8700a2959ea71e1ecd2916ee445b5 127.0.0.1:31100@41100,one.exam\
    ple.com myself,master - 0 1795192451000 1 connected 0-8000\n\r\n";

/// CLUSTER NODES of Redis 7.0.15 that nobody has met.
const NODES_ALONE_70: &str =
    "$86\r\n76ada49649e8700a2959ea71e1ecd2916ee445b5 :31100@41100 myself,master - 0 0 0 connected\n\r\n";

/// CLUSTER SLOTS of Redis 7.0.15 by address; the replica is still loading.
const SLOTS_70: &str = "*2\r\n*3\r\n:0\r\n:8000\r\n*4\r\n$9\r\n127.0.0.1\r\n:31100\r\n$40\r\n76ada49649e8700a2959ea71e1ecd2916ee445b5\
    \r\n*2\r\n$8\r\nhostname\r\n$15\r\none.example.com\r\n*3\r\n:8001\r\n:16383\r\n*4\r\n$9\r\n127.0.0.1\r\n:31101\
    \r\n$40\r\nc15a294ce64f84ead9e12c9035cb4127c5a694de\r\n*0\r\n";

/// CLUSTER SLOTS of Redis 8.0 that prefers host names, of which one is announced.
const SLOTS_HOSTNAME_80: &str = "*2\r\n*4\r\n:0\r\n:8000\r\n*4\r\n$15\r\none.example.com\r\n:31200\r\n$40\r\nacdb44a87986a784785453a1d26665cf00\
    e8eda7\r\n*2\r\n$2\r\nip\r\n$9\r\n127.0.0.1\r\n*4\r\n$1\r\n?\r\n:31202\r\n$40\r\n54340c35cdb6930e30afa6b0ca8e9\
    bd3a4ea301f\r\n*2\r\n$2\r\nip\r\n$9\r\n127.0.0.1\r\n*3\r\n:8001\r\n:16383\r\n*4\r\n$1\r\n?\r\n:31201\r\n$40\r\
    \nd62795a2f8e086bbe7a8392ba2e51be3d9b52b3a\r\n*2\r\n$2\r\nip\r\n$9\r\n127.0.0.1\r\n";

fn reply(wire: &[u8]) -> Reply {
    let mut parser = Parser::new(Limits::default());
    parser.start_exchange();
    parser.read_buffer().extend_from_slice(wire);
    parser.next_reply().unwrap().unwrap()
}

/// CLUSTER SHARDS of Redis 7.0.15 with `tls-cluster yes` and both ports; so it answers over TLS and without.
const SHARDS_TLS_70: &str = "*1\r\n*4\r\n$5\r\nslots\r\n*2\r\n:0\r\n:16383\r\n$5\r\nnodes\r\n*1\r\n*18\r\n$2\r\nid\r\n$40\r\nb5b8f6c1e1163d386\
    d84b1f09d53bf6c57d9f4bd\r\n$4\r\nport\r\n:23100\r\n$8\r\ntls-port\r\n:23110\r\n$2\r\nip\r\n$9\r\n127.0.0.1\r\n$8\r\nendpoint\r\n$9\r\n\
    127.0.0.1\r\n$8\r\nhostname\r\n$10\r\nh0.example\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$18\r\nreplication-offset\r\n:0\r\n$6\r\nhealth\r\n$6\r\n\
    online\r\n";

/// `ip port hostname preferred` of each node, asked without TLS.
fn read(question: Question, wire: &str) -> Vec<String> {
    let text = |bytes: &Option<Bytes>| {
        bytes
            .as_ref()
            .map_or("-".to_owned(), |it| String::from_utf8_lossy(it).into_owned())
    };
    let announced = question.read(&reply(wire.as_bytes()), false).unwrap();
    let nodes = announced.nodes.iter().map(|node| {
        let preferred = match &node.preferred {
            Preferred::Unsaid => "unsaid".to_owned(),
            Preferred::Entry => "entry".to_owned(),
            Preferred::Name(name) => text(&Some(name.clone())),
        };
        let port = node.ports.plain.map_or("-".to_owned(), |port| port.to_string());
        let lost = if node.is_lost { " lost" } else { "" };
        format!("{} {port} {} {preferred}{lost}", text(&node.ip), text(&node.hostname))
    });
    nodes.collect()
}

#[test]
fn shards_name_primaries_and_replicas() {
    assert_eq!(
        read(Question::Shards, SHARDS_70),
        [
            "127.0.0.1 31101 - ?",
            "127.0.0.1 31100 one.example.com one.example.com",
            "127.0.0.1 31102 - ?"
        ]
    );
    assert_eq!(
        read(Question::Shards, SHARDS_91),
        [
            "127.0.0.1 31301 - 127.0.0.1",
            "127.0.0.1 31300 one.example.com 127.0.0.1",
            "127.0.0.1 31302 - 127.0.0.1"
        ]
    );
    assert_eq!(read(Question::Shards, SHARDS_ALONE_70), [" 31100 - "]);
}

#[test]
fn nodes_name_everybody() {
    assert_eq!(
        read(Question::Nodes, NODES_70),
        [
            "127.0.0.1 31101 - unsaid",
            "127.0.0.1 31102 - unsaid",
            "127.0.0.1 31100 one.example.com unsaid"
        ]
    );
    assert_eq!(read(Question::Nodes, NODES_ALONE_70), [" 31100 - unsaid"]);
    // Redis 3.2 has no bus port, IPv6 addresses are bare, and what is in handshake is no member yet.
    let text = "a 10.0.0.1:7000 myself,master - 0 0 1 connected 0-16383\n\
        b ::1:7001@17001 slave,fail a 0 0 1 disconnected\n\
        c :0@0 slave,noaddr a 0 0 1 disconnected\n\
        d 10.0.0.2:7002@17002 handshake - 0 0 0 connected\n\
        e 10.0.0.3:7003@17003,,tls-port=0,shard-id=x master - 0 0 0 connected\n";
    assert_eq!(
        read(Question::Nodes, &format!("${}\r\n{text}\r\n", text.len())),
        [
            "10.0.0.1 7000 - unsaid",
            "::1 7001 - unsaid",
            " 0 - unsaid lost",
            "10.0.0.3 7003  unsaid"
        ]
    );
}

#[test]
fn slots_name_who_serves_them() {
    assert_eq!(
        read(Question::Slots, SLOTS_70),
        [
            "127.0.0.1 31100 one.example.com 127.0.0.1",
            "127.0.0.1 31101 - 127.0.0.1"
        ]
    );
    assert_eq!(
        read(Question::Slots, SLOTS_HOSTNAME_80),
        [
            "127.0.0.1 31200 one.example.com one.example.com",
            "127.0.0.1 31202 ? ?",
            "127.0.0.1 31201 ? ?"
        ]
    );
    // `unknown-endpoint`, and the form of Redis 3.2.
    assert_eq!(
        read(
            Question::Slots,
            "*1\r\n*4\r\n:0\r\n:5\r\n*4\r\n$-1\r\n:1\r\n$1\r\na\r\n*2\r\n$2\r\nip\r\n$2\r\n::\r\n*2\r\n$8\r\n10.0.0.1\r\n:2\r\n"
        ),
        [":: 1 - entry", "10.0.0.1 2 - 10.0.0.1"]
    );
}

#[test]
fn ports_are_told_apart_by_kind() {
    let ports = |question: Question, wire: &str, over_tls| {
        question.read(&reply(wire.as_bytes()), over_tls).unwrap().nodes[0].ports
    };
    let both = Ports {
        plain: Some(23100),
        tls: Some(23110),
    };
    assert_eq!(ports(Question::Shards, SHARDS_TLS_70, false), both);
    assert_eq!(ports(Question::Shards, SHARDS_TLS_70, true), both);
    let wire = "*1\r\n*2\r\n$5\r\nnodes\r\n*1\r\n*4\r\n$2\r\nip\r\n$2\r\n::\r\n$8\r\ntls-port\r\n:1\r\n";
    assert_eq!(ports(Question::Shards, wire, false), Ports::one(1, true));
    assert_eq!(ports(Question::Nodes, NODES_70, true), Ports::one(31101, true));
    assert_eq!(ports(Question::Nodes, NODES_70, false), Ports::one(31101, false));
    assert_eq!(ports(Question::Slots, SLOTS_70, true), Ports::one(31100, true));
    let zero = Ports {
        plain: Some(0),
        tls: Some(7),
    };
    assert_eq!((zero.of(false), zero.of(true)), (None, Some(7)));
}

#[test]
fn what_is_no_list_of_nodes_is_refused_whole() {
    for wire in [
        "*0\r\n",
        "$0\r\n\r\n",
        "$-1\r\n",
        "+OK\r\n",
        ":1\r\n",
        "*1\r\n*0\r\n",
        "*1\r\n:1\r\n",
        "*1\r\n*2\r\n$5\r\nnodes\r\n:1\r\n",
        "*1\r\n*2\r\n$5\r\nnodes\r\n*1\r\n*2\r\n$4\r\nport\r\n$1\r\nx\r\n",
        "*1\r\n*2\r\n$5\r\nnodes\r\n*1\r\n*2\r\n$8\r\ntls-port\r\n$1\r\nx\r\n",
        "*1\r\n*2\r\n$5\r\nnodes\r\n*1\r\n*2\r\n$8\r\nendpoint\r\n:1\r\n",
        "$4\r\nx y\n\r\n",
        "$7\r\nx y z q\r\n",
        "$11\r\nx 1.2.3.4 z\r\n",
        "$13\r\nx 1.2.3.4:p z\r\n",
        "*1\r\n*3\r\n:0\r\n:5\r\n*1\r\n$1\r\na\r\n",
        "*1\r\n*3\r\n:0\r\n:5\r\n*2\r\n:1\r\n:2\r\n",
    ] {
        for question in Question::ALL {
            assert_eq!(
                question.read(&reply(wire.as_bytes()), false),
                Err(Malformed),
                "{question:?} {wire:?}"
            );
        }
    }
}

#[test]
fn nodes_beyond_the_limit_are_counted() {
    let lines: String = (0..MAX_ANNOUNCED + 7)
        .map(|at| format!("a 10.0.{}.{}:1@2 master - 0 0 0 connected\n", at / 250, at % 250))
        .collect();
    let announced = Question::Nodes.read(&Reply::Bulk(lines.into()), false).unwrap();
    assert_eq!((announced.nodes.len(), announced.beyond), (MAX_ANNOUNCED, 7));
}

/// Any reply, a few levels deep.
fn any_reply() -> impl Strategy<Value = Reply> {
    let words = [
        "nodes",
        "slots",
        "ip",
        "endpoint",
        "hostname",
        "port",
        "tls-port",
        "a :1@2, myself",
        "?",
        "",
    ];
    let leaf = prop_oneof![
        prop::sample::select(words.to_vec()).prop_map(|text| Reply::Bulk(text.into())),
        any::<Vec<u8>>().prop_map(|bytes| Reply::Bulk(bytes.into())),
        any::<i64>().prop_map(Reply::Integer),
        Just(Reply::Null),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        prop::collection::vec(inner, 0..6).prop_map(Reply::Array)
    })
}

proptest! {
    #[test]
    fn no_reply_panics(reply in any_reply()) {
        for question in Question::ALL {
            let _ = question.read(&reply, true);
        }
    }

    #[test]
    fn no_text_panics(text in "([a-z:@,. 0-9]{0,30}\n){0,5}") {
        let _ = Question::Nodes.read(&Reply::Bulk(text.into()), false);
    }
}
