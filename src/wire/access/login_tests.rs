//! The messages about the logins of a user, and their bytes.

use super::*;
use crate::wire::control::ControlError;

/// Every kind of request about logins, and its bytes with the id 7 and the token `t\0k`.
pub(super) fn requests() -> [(AccessRequest, &'static [u8]); 2] {
    let after = ShortText::new("x");
    let end = LoginRequest::End {
        write: WriteId([b'w'; 16]),
        login: "00ab12ff".parse().unwrap(),
    };
    [
        (
            AccessRequest::Logins(LoginRequest::List { after }),
            b"d5:after1:x2:idi7e8:protocoli5e5:token3:t\0k4:type11:list_loginse",
        ),
        (
            AccessRequest::Logins(end),
            b"d2:idi7e5:login8:00ab12ff8:protocoli5e5:token3:t\0k4:type9:end_login5:write16:wwwwwwwwwwwwwwwwe",
        ),
    ]
}

/// The list of logins, and the bytes of its reply with the id 7.
pub(super) fn reply() -> (AccessAnswer, &'static [u8]) {
    let present = LoginEntry {
        id: "00ab12ff".parse().unwrap(),
        host: "gpu1".parse().ok(),
        from: "::1".parse().unwrap(),
        made_at: 5,
        used_at: 9,
        is_present: true,
    };
    let other = LoginEntry {
        host: None,
        is_present: false,
        ..present.clone()
    };
    let page = ListPage {
        entries: vec![present, other],
        next: None,
    };
    (
        AccessAnswer::Logins(page),
        b"d7:entriesld2:ati5e4:from3:::14:host4:gpu12:id8:00ab12ff7:presenti1e4:usedi9eed2:ati5e4:from3:::12:id8:00ab12ff4:usedi9eee2:idi7e8:protocoli5e4:type6:loginse",
    )
}

#[test]
fn an_address_in_another_spelling_is_refused() {
    let (_, bytes) = reply();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let other = text.replacen("3:::1", "5:0::01", 1);
    let refused = AccessReplyMessage::decode(other.as_bytes());
    assert_eq!(refused, Err(ControlError::WrongValue("from")));
}
