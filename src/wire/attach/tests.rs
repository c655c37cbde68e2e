use super::version::MAX_PATH;
use super::*;
use crate::wire::control::TextLine;
use crate::wire::frame;

fn caller() -> Caller {
    Caller {
        version: AttachVersion::ours(),
        folder: b"/data/\xff".to_vec(),
        home: Some(b"/h".to_vec()),
        json: false,
        prompt: true,
        input_terminal: true,
        error_terminal: false,
        plain: false,
        columns: 80,
    }
}

#[test]
fn each_message_is_encoded_and_decoded_again() {
    let without_home = Caller {
        home: None,
        ..caller()
    };
    let line = |source| AttachRequest::Line {
        number: 7,
        source,
        text: "send 'a b'".into(),
    };
    for request in [
        AttachRequest::Hello(caller()),
        AttachRequest::Hello(without_home),
        line(LineSource::Input),
        line(LineSource::Argument),
        AttachRequest::NotText { number: 8 },
        AttachRequest::Answer(AttachedAnswer::Line("secret".into())),
        AttachRequest::Answer(AttachedAnswer::NotText),
        AttachRequest::Answer(AttachedAnswer::End),
        AttachRequest::Answer(AttachedAnswer::Quit),
        AttachRequest::Answer(AttachedAnswer::Stopped),
        AttachRequest::Answer(AttachedAnswer::Failed("x".into())),
        AttachRequest::Interrupt { number: 7 },
        AttachRequest::Stop,
        AttachRequest::Names {
            kind: "group".into(),
            group: None,
        },
        AttachRequest::Names {
            kind: "share".into(),
            group: Some("lab".into()),
        },
    ] {
        let body = request.encode();
        assert_eq!(AttachRequest::decode(&body), Ok(request));
        assert!(AttachReply::decode(&body).is_err() || body.starts_with(b"d4:kind"));
        fuzz(&framed(&body));
    }
    let version = AttachVersion::ours;
    for reply in [
        AttachReply::Welcome { version: version() },
        AttachReply::Refused {
            version: version(),
            reason: TextLine::new("full"),
        },
        AttachReply::Output(b"x\n".to_vec()),
        AttachReply::Error(b"\x1b[2K".to_vec()),
        AttachReply::Ask {
            question: "password: ".into(),
            hidden: true,
        },
        AttachReply::Done {
            succeeded: true,
            ending: Ending::Process,
        },
        AttachReply::Notice("complete x".into()),
        AttachReply::Names {
            names: vec!["a".into(), String::new()],
            more: true,
        },
        AttachReply::End,
    ] {
        let body = reply.encode();
        assert_eq!(AttachReply::decode(&body), Ok(reply));
        fuzz(&framed(&body));
    }
}

fn framed(body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::encode(body, MAX_ATTACH_FRAME, &mut bytes).unwrap();
    bytes
}

#[test]
fn the_version_of_another_version_is_read_and_the_rest_is_not() {
    let other = b"d3:newi1e8:protocoli9e4:type5:hello7:version5:9.0.0e";
    assert_eq!(
        AttachVersion::of_first_message(other),
        Ok(AttachVersion {
            protocol: 9,
            program: "9.0.0".into()
        })
    );
    assert!(AttachRequest::decode(other).is_err());
    for foreign in [&b"GET / HTTP/1.1"[..], b"de", b"le", b"d8:protocoli-1ee"] {
        assert!(AttachVersion::of_first_message(foreign).is_err());
    }
}

#[test]
fn texts_are_bounded() {
    let answer = |length| AttachRequest::Answer(AttachedAnswer::Line("x".repeat(length))).encode();
    assert!(AttachRequest::decode(&answer(MAX_TEXT)).is_ok());
    assert!(AttachRequest::decode(&answer(MAX_TEXT + 1)).is_err());
    let output = |length| AttachReply::Output(vec![b'x'; length]).encode();
    assert!(AttachReply::decode(&output(MAX_TEXT)).is_ok());
    assert!(AttachReply::decode(&output(MAX_TEXT + 1)).is_err());
    let hello = |length| {
        let folder = vec![b'/'; length];
        AttachRequest::Hello(Caller { folder, ..caller() }).encode()
    };
    assert!(AttachRequest::decode(&hello(MAX_PATH)).is_ok());
    assert!(AttachRequest::decode(&hello(MAX_PATH + 1)).is_err());
}
