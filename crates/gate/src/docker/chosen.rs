//! What lies with the image, and so with whoever asks: which number a user's name stands for, and which programs with a
//! set-user-ID bit there are. An audit takes the sensible for granted; a door cannot, as the image may have been made for
//! it.

use confinement::{Fact, Identity, Origin};
use serde_json::Value;

/// A user by name is whom the image's /etc/passwd says, so it is judged as root. A number is read as the daemon reads it
/// (Go's `strconv.Atoi`: `-0` and `+00` are 0; opencontainers/runc libcontainer/user, `GetExecUser`).
pub(super) fn users(inspected: &mut Value) {
    let Some(user) = inspected.pointer_mut("/Config/User") else { return };
    let Some(text) = user.as_str().filter(|text| !text.is_empty()) else { return };
    let (name, group) = text.split_once(':').map_or((text, None), |(name, group)| (name, Some(group)));
    // Below 0 and above 2³¹ the runtime refuses.
    let number = name.parse::<i64>().ok().and_then(|n| u32::try_from(n).ok()).unwrap_or(0).to_string();
    *user = match group {
        Some(group) => format!("{number}:{group}").into(),
        None => number.into(),
    };
}

/// A program of the image with a set-user-ID bit makes any user root again, unless no_new_privs is set (execve(2)).
pub(super) fn programs(identity: &mut Identity) {
    if identity.no_new_privileges.value != Some(true) && identity.setuid_programs.value == Some(false) {
        identity.setuid_programs = Fact::unknown(Origin::assumed(
            "the image may hold set-user-ID programs (`no-new-privileges` disarms them)",
        ));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_user_is_the_number_that_the_daemon_reads_and_root_where_it_is_a_name() {
        for (asked, judged) in [
            ("1000", "1000"),
            ("1000:50", "1000:50"),
            ("0", "0"),
            ("-0", "0"),
            ("+00", "0"),
            ("-1", "0"),
            ("00012:docker", "12:docker"),
            ("app", "0"),
            ("app:50", "0:50"),
            ("0x10", "0"),
            (" 1000", "0"),
            ("99999999999999999999", "0"),
        ] {
            let mut inspected = json!({"Config": {"User": asked}});
            users(&mut inspected);
            assert_eq!(inspected["Config"]["User"], judged, "{asked}");
        }
        let mut none = json!({"Config": {"User": ""}});
        users(&mut none);
        assert_eq!(none["Config"]["User"], "");
    }

    #[test]
    fn what_the_image_holds_is_not_known_unless_it_could_do_nothing() {
        let known = |value| Fact::known(value, Origin::Nowhere);
        let mut plain = Identity { setuid_programs: known(false), ..Identity::default() };
        programs(&mut plain);
        assert_eq!(plain.setuid_programs.value, None);
        let mut disarmed =
            Identity { setuid_programs: known(false), no_new_privileges: known(true), ..Identity::default() };
        programs(&mut disarmed);
        assert_eq!(disarmed.setuid_programs.value, Some(false));
    }
}
