//! Names and values that look like credentials. A value is never kept or printed; what is said of it is what kind
//! it looks like. It is better to miss one than to cry wolf: a name alone counts only where its value is written
//! out and is no placeholder, path, switch or number.

/// Parts of a name that say that its value is a credential. A part is a word between `_`, `-` and `.`.
const SECRET_WORDS: &[&str] = &[
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "SECRET",
    "SECRETS",
    "TOKEN",
    "CREDENTIALS",
    "APIKEY",
    "PWD",
    "PASS",
];
const SECRET_PAIRS: &[(&str, &str)] =
    &[("API", "KEY"), ("ACCESS", "KEY"), ("PRIVATE", "KEY"), ("SECRET", "KEY"), ("ENCRYPTION", "KEY")];
/// Last parts of a name whose value only describes or points to the credential.
const DESCRIBES: &[&str] = &[
    "FILE",
    "PATH",
    "DIR",
    "DIRECTORY",
    "NAME",
    "ID",
    "URL",
    "URI",
    "HOST",
    "TTL",
    "TIMEOUT",
    "EXPIRY",
    "EXPIRATION",
    "EXPIRES",
    "ENABLED",
    "DISABLED",
    "TYPE",
    "VERSION",
    "LENGTH",
    "SIZE",
    "POLICY",
    "HEADER",
    "PREFIX",
    "ALGORITHM",
    "ISSUER",
    "AUDIENCE",
    "SHA256",
    "CHECKSUM",
    "REQUIRED",
    "MIN",
    "MAX",
    "FORMAT",
    "ENDPOINT",
    "PROVIDER",
];
/// Values that stand for "to be filled in", in lower case.
const PLACEHOLDERS: &[&str] = &[
    "true",
    "false",
    "yes",
    "no",
    "on",
    "off",
    "none",
    "null",
    "nil",
    "undefined",
    "unset",
    "default",
    "dummy",
    "placeholder",
    "example",
    "changeit",
    "todo",
    "tbd",
    "redacted",
    "xxx",
    "secret_key_base_dummy",
];

/// What a variable's name and value look like together.
pub fn variable(name: &str, value: &str) -> Option<&'static str> {
    token(value).or_else(|| named(name, value).then_some("a credential by its name"))
}

fn named(name: &str, value: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    let words: Vec<&str> = upper.split(['_', '-', '.']).filter(|word| !word.is_empty()).collect();
    let says = words.iter().any(|word| SECRET_WORDS.contains(word))
        || words.windows(2).any(|pair| matches!(pair, [a, b] if SECRET_PAIRS.contains(&(*a, *b))));
    let describes = words.last().is_some_and(|last| DESCRIBES.contains(last));
    // `PWD` alone is the working folder.
    says && !describes && upper != "PWD" && upper != "OLDPWD" && written_out(value)
}

/// Whether a value is there and is no reference to another, path, switch, number or placeholder.
fn written_out(value: &str) -> bool {
    let lower = value.trim().to_ascii_lowercase();
    let number = lower.len() < 6 && lower.chars().all(|c| c.is_ascii_digit());
    let filler = lower.chars().all(|c| "*x.-_".contains(c));
    !lower.is_empty()
        && !number
        && !filler
        && !value.contains('$')
        && !lower.starts_with(['/', '<', '{', '%'])
        && !lower.starts_with("your")
        && !lower.starts_with("file:")
        && !PLACEHOLDERS.contains(&lower.as_str())
}

/// Prefixes that issuers give their tokens so that they can be found, with how many more characters of which kind
/// follow at least: AWS, GitHub, GitLab, Slack, Stripe, Google, npm, PyPI, Docker Hub, Hugging Face, HashiCorp.
const TOKENS: &[(&str, usize, &str)] = &[
    ("AKIA", 16, "an AWS access key"),
    ("ASIA", 16, "an AWS access key"),
    ("ghp_", 36, "a GitHub token"),
    ("gho_", 36, "a GitHub token"),
    ("ghs_", 36, "a GitHub token"),
    ("github_pat_", 22, "a GitHub token"),
    ("glpat-", 20, "a GitLab token"),
    ("xoxb-", 20, "a Slack token"),
    ("xoxp-", 20, "a Slack token"),
    ("sk_live_", 16, "a Stripe key"),
    ("rk_live_", 16, "a Stripe key"),
    ("AIza", 35, "a Google API key"),
    ("npm_", 36, "an npm token"),
    ("pypi-", 32, "a PyPI token"),
    ("dckr_pat_", 20, "a Docker Hub token"),
    ("hf_", 30, "a Hugging Face token"),
    ("hvs.", 24, "a Vault token"),
];

/// What kind of credential a text holds, by its form alone.
pub(super) fn token(text: &str) -> Option<&'static str> {
    if text.contains("-----BEGIN ") && text.contains("PRIVATE KEY-----") {
        return Some("a private key");
    }
    for (prefix, more, what) in TOKENS {
        for (at, _) in text.match_indices(prefix) {
            let starts = text.get(..at).is_none_or(|before| !before.ends_with(is_token_character));
            let rest = text.get(at + prefix.len()..).unwrap_or("");
            let length = rest.find(|c| !is_token_character(c)).unwrap_or(rest.len());
            if starts && length >= *more {
                return Some(what);
            }
        }
    }
    url_password(text).then_some("a password in a URL")
}

fn is_token_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

/// `scheme://user:password@host`, the password written out.
fn url_password(text: &str) -> bool {
    text.match_indices("://").any(|(at, separator)| {
        let scheme =
            text.get(..at).is_some_and(|before| before.ends_with(|c: char| c.is_ascii_alphanumeric()));
        let rest = text.get(at + separator.len()..).unwrap_or("");
        let end = rest.find(|c: char| c.is_whitespace() || "/\"'`?#".contains(c)).unwrap_or(rest.len());
        let authority = rest.get(..end).unwrap_or("");
        let Some((user_information, _)) = authority.rsplit_once('@') else { return false };
        user_information.split_once(':').is_some_and(|(_, password)| scheme && written_out(password))
    })
}

/// Files that hold credentials, by the name they are copied under.
pub(super) fn file(path: &str) -> Option<&'static str> {
    let path = path.trim_end_matches('/');
    let name = path.rsplit('/').next().unwrap_or(path);
    match name {
        "id_rsa" | "id_dsa" | "id_ecdsa" | "id_ed25519" => Some("a private SSH key"),
        ".netrc" | ".git-credentials" | ".pgpass" => Some("a file of passwords"),
        _ if path.ends_with(".aws/credentials") => Some("AWS credentials"),
        _ if path.ends_with(".docker/config.json") => Some("registry credentials"),
        _ if path.ends_with(".kube/config") => Some("cluster credentials"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_that_are_credentials() {
        for (name, value) in [
            ("MYSQL_ROOT_PASSWORD", "hunter22"),
            ("db.password", "s3cr3t!"),
            ("API_KEY", "abcdef0123"),
            ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMIK7MDENG"),
            ("GITHUB_TOKEN", "abc123def"),
            ("ANYTHING", "ghp_0123456789abcdefghij0123456789abcdefghij"),
            ("DATABASE", "postgres://app:hunter22@db:5432/app"),
            ("KEY", "-----BEGIN RSA PRIVATE KEY-----"),
            ("X", "AKIAIOSFODNN7EXAMPLE"),
        ] {
            assert!(variable(name, value).is_some(), "{name}");
        }
    }

    #[test]
    fn names_and_values_that_are_none() {
        for (name, value) in [
            ("MYSQL_ROOT_PASSWORD", ""),
            ("MYSQL_ROOT_PASSWORD", "$PASSWORD"),
            ("MYSQL_ROOT_PASSWORD_FILE", "/run/secrets/x"),
            ("POSTGRES_PASSWORD", "/run/secrets/x"),
            ("ALLOW_EMPTY_PASSWORD", "yes"),
            ("TOKEN_TTL", "3600s"),
            ("PASSWORD_MIN_LENGTH", "12"),
            ("SECRET_NAME", "app-tls"),
            ("API_TOKEN", "<token>"),
            ("API_TOKEN", "your-token-here"),
            ("GPG_KEY", "E3FF2839C048B25C084DEBE9B26995E310250568"),
            ("GPG_KEYS", "0D96DF4D4110E5C43FBFB17F2D347EA6AA65421D"),
            ("PWD", "/app"),
            ("COMPASS", "north-north-west"),
            ("HOMEPAGE", "https://example.com/a:b@c"),
            ("PROXY", "http://proxy:3128"),
            ("REPO", "https://$USER:$PASS@example.com/x"),
            ("URL", "https://user@example.com"),
            ("NODE_VERSION", "18.0.0"),
        ] {
            assert_eq!(variable(name, value), None, "{name}={value}");
        }
    }

    #[test]
    fn files_of_credentials() {
        assert!(file(".ssh/id_rsa").is_some() && file("/root/.aws/credentials").is_some());
        assert!(file("id_rsa.pub").is_none() && file("config.json").is_none() && file("").is_none());
    }
}
