//! Certificates of every kind, good and bad, made on the fly. rcgen makes them; what it cannot make (keys of 1024 bits) or should not judge (dates) goes
//! through the command `openssl`.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256, PublicKeyData, SanType, SignatureAlgorithm,
};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

/// A day.
pub const DAY: Duration = Duration::from_secs(86_400);

/// How long an authority holds, back and forth from now.
const AUTHORITY_LIFE: Duration = Duration::from_secs(3_650 * 86_400);

/// A certificate authority with its key (ECDSA P-256): a root, or an intermediate one.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// What a certificate of this authority must bring so that it leads to the root: PEM, empty for a root.
    chain: String,
}

impl Authority {
    /// A root: signed by itself.
    pub fn new(name: &str) -> Self {
        Self::root(authority_parameters(name))
    }

    /// A root that holds from so many days from now to so many days from now; negative ones lie behind us.
    pub fn new_for_days(name: &str, from: i64, until: i64) -> Self {
        Self::root(for_days(authority_parameters(name), from, until))
    }

    fn root(parameters: CertificateParams) -> Self {
        Self {
            issuer: CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap(),
            chain: String::new(),
        }
    }

    /// An authority below this one.
    pub fn intermediate(&self, name: &str) -> Self {
        self.intermediate_with(authority_parameters(name))
    }

    /// An authority below this one that holds for these days only.
    pub fn intermediate_for_days(&self, name: &str, from: i64, until: i64) -> Self {
        self.intermediate_with(for_days(authority_parameters(name), from, until))
    }

    fn intermediate_with(&self, parameters: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::signed_by(parameters, key, &self.issuer).unwrap();
        let chain = issuer.pem() + &self.chain;
        Self { issuer, chain }
    }

    /// Its own certificate as PEM: what goes into a `ca_file`.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Writes its certificate to `STEM.crt`, replacing what is there at once.
    pub fn write(&self, folder: &Path, stem: &str) -> PathBuf {
        replace(&folder.join(format!("{stem}.crt")), &self.pem())
    }

    /// A certificate and its key.
    pub fn issue(&self, leaf: &Leaf) -> Issued {
        let key = KeyPair::generate().unwrap();
        self.sign(leaf, &key, key.serialize_pem())
    }

    /// A certificate with an RSA key of this many bits, however weak.
    pub fn issue_rsa(&self, leaf: &Leaf, bits: u16) -> Issued {
        let private = openssl(&["genrsa", "-traditional", &bits.to_string()], b"");
        let public = RsaPublicKey(openssl(&["rsa", "-RSAPublicKey_out", "-outform", "DER"], &private));
        self.sign(leaf, &public, String::from_utf8(private).unwrap())
    }

    fn sign(&self, leaf: &Leaf, public: &impl PublicKeyData, key: String) -> Issued {
        let certificate = leaf.parameters().signed_by(public, &self.issuer).unwrap().pem();
        let chain = if leaf.with_chain { self.chain.as_str() } else { "" };
        Issued {
            certificate: certificate + chain,
            key,
        }
    }
}

/// The public half of an RSA key (PKCS#1), which rcgen with ring does not make itself.
struct RsaPublicKey(Vec<u8>);

impl PublicKeyData for RsaPublicKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_RSA_SHA256
    }
}

fn authority_parameters(name: &str) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = common_name(name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    parameters.use_authority_key_identifier_extension = true;
    parameters.not_before = (SystemTime::now() - AUTHORITY_LIFE).into();
    parameters.not_after = (SystemTime::now() + AUTHORITY_LIFE).into();
    parameters
}

fn for_days(mut parameters: CertificateParams, from: i64, until: i64) -> CertificateParams {
    parameters.not_before = days_from_now(from).into();
    parameters.not_after = days_from_now(until).into();
    parameters
}

fn common_name(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

/// What a certificate of a server or a client says.
#[derive(Debug, Clone)]
pub struct Leaf {
    common_name: String,
    names: Vec<SanType>,
    not_before: SystemTime,
    not_after: SystemTime,
    purpose: ExtendedKeyUsagePurpose,
    with_chain: bool,
    is_authority: bool,
}

impl Leaf {
    /// Of a server at `localhost`, `127.0.0.1` and `::1`, valid since yesterday for 90 days.
    pub fn server() -> Self {
        Self::nameless_server().dns("localhost").ip("127.0.0.1").ip("::1")
    }

    /// Of a server, made out to nobody yet.
    pub fn nameless_server() -> Self {
        Self::with_purpose("server", ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// Of a client, with this common name and no alternative name.
    pub fn client(name: &str) -> Self {
        Self::with_purpose(name, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn with_purpose(name: &str, purpose: ExtendedKeyUsagePurpose) -> Self {
        let now = SystemTime::now();
        Self {
            common_name: name.to_owned(),
            names: Vec::new(),
            not_before: now - DAY,
            not_after: now + 90 * DAY,
            purpose,
            with_chain: true,
            is_authority: false,
        }
    }

    /// One more alternative name: a host, `*.example.org` too.
    pub fn dns(mut self, name: &str) -> Self {
        self.names.push(SanType::DnsName(name.try_into().unwrap()));
        self
    }

    /// One more alternative name: an IP address.
    pub fn ip(mut self, address: &str) -> Self {
        self.names.push(SanType::IpAddress(address.parse::<IpAddr>().unwrap()));
        self
    }

    /// One more alternative name: an e-mail address.
    pub fn email(mut self, address: &str) -> Self {
        self.names.push(SanType::Rfc822Name(address.try_into().unwrap()));
        self
    }

    /// One more alternative name: a URI, e.g. of SPIFFE.
    pub fn uri(mut self, uri: &str) -> Self {
        self.names.push(SanType::URI(uri.try_into().unwrap()));
        self
    }

    /// Valid from so many days from now to so many days from now; negative ones lie behind us.
    pub fn days(self, from: i64, until: i64) -> Self {
        self.between(days_from_now(from), days_from_now(until))
    }

    /// Valid between two moments; certificates know seconds only.
    pub fn between(mut self, not_before: SystemTime, not_after: SystemTime) -> Self {
        self.not_before = not_before;
        self.not_after = not_after;
        self
    }

    /// Comes without the intermediate authorities.
    pub fn without_chain(mut self) -> Self {
        self.with_chain = false;
        self
    }

    /// Says of itself that it may sign others (`CA:TRUE`), as what `openssl req -x509` makes does.
    pub fn claiming_authority(mut self) -> Self {
        self.is_authority = true;
        self
    }

    /// Signed by its own key.
    pub fn self_signed(&self) -> Issued {
        let key = KeyPair::generate().unwrap();
        Issued {
            certificate: self.parameters().self_signed(&key).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    fn parameters(&self) -> CertificateParams {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = common_name(&self.common_name);
        parameters.subject_alt_names.clone_from(&self.names);
        parameters.not_before = self.not_before.into();
        parameters.not_after = self.not_after.into();
        parameters.extended_key_usages = vec![self.purpose.clone()];
        parameters.use_authority_key_identifier_extension = true;
        if self.is_authority {
            parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        parameters
    }
}

fn days_from_now(days: i64) -> SystemTime {
    let distance = DAY * u32::try_from(days.unsigned_abs()).unwrap();
    let now = SystemTime::now();
    if days < 0 { now - distance } else { now + distance }
}

/// A certificate with its key.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The certificate, and behind it the intermediate ones, as PEM.
    pub certificate: String,
    /// The private key as PEM, without a passphrase.
    pub key: String,
}

impl Issued {
    /// The same certificate with the key of another one: a pair that does not fit.
    pub fn with_key_of(&self, other: &Self) -> Self {
        Self {
            certificate: self.certificate.clone(),
            key: other.key.clone(),
        }
    }

    /// Writes `STEM.crt` and `STEM.key`, replacing each at once; between the two they do not fit each other.
    pub fn write(&self, folder: &Path, stem: &str) -> (PathBuf, PathBuf) {
        (
            replace(&folder.join(format!("{stem}.crt")), &self.certificate),
            replace(&folder.join(format!("{stem}.key")), &self.key),
        )
    }
}

/// Writes a file so that nobody ever reads half of it.
pub fn replace(path: &Path, text: &str) -> PathBuf {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(&new, path).unwrap();
    path.to_owned()
}

/// A `ca_file` with ten authorities; `wanted` is the last of them.
pub fn bundle_of_ten(wanted: &Authority) -> String {
    let strangers = (1..10).map(|number| Authority::new(&format!("stranger {number}")).pem());
    strangers.collect::<String>() + &wanted.pem()
}

/// The same, with something that is not base64 within its fifth section.
pub fn broken_bundle(wanted: &Authority) -> String {
    const BEGINNING: &str = "-----BEGIN CERTIFICATE-----";
    let whole = bundle_of_ten(wanted);
    let (fifth, _) = whole.match_indices(BEGINNING).nth(4).unwrap();
    let (before, after) = whole.split_at(fifth + BEGINNING.len());
    format!("{before}\n!this is not base64!{after}")
}

/// When certificates hold, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dates {
    /// `notBefore`
    pub not_before: u64,
    /// `notAfter`
    pub not_after: u64,
}

/// What `openssl x509 -noout -dates` says of each certificate of a PEM text, in their order.
pub fn dates(pem: &str) -> Vec<Dates> {
    const END: &str = "-----END CERTIFICATE-----";
    let certificates = pem.split_inclusive(END).filter(|section| section.contains(END));
    certificates.map(dates_of_one).collect()
}

/// What a server shows of its whole chain: the latest beginning and the earliest end, by `openssl`.
pub fn chain_dates(pem: &str) -> Dates {
    let all = dates(pem);
    Dates {
        not_before: all.iter().map(|dates| dates.not_before).max().unwrap(),
        not_after: all.iter().map(|dates| dates.not_after).min().unwrap(),
    }
}

fn dates_of_one(pem: &str) -> Dates {
    let said = openssl(&["x509", "-noout", "-dates", "-dateopt", "iso_8601"], pem.as_bytes());
    let said = String::from_utf8(said).unwrap();
    let seconds = |field: &str| {
        let text = said.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        let moment = humantime::parse_rfc3339_weak(text).unwrap();
        moment.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
    };
    Dates {
        not_before: seconds("notBefore="),
        not_after: seconds("notAfter="),
    }
}

/// Runs `openssl` with this input; what it prints.
fn openssl(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut command = Command::new("openssl");
    command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .unwrap_or_else(|error| panic!("openssl: {error}; tests/servers/install.sh installs it"));
    // A subcommand that reads nothing may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "openssl {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}
