//! `pieceful doctor`: prints what is good, what is not, and what to do about it.

use super::arguments::DoctorArguments;
use super::exit::{EarlyExit, Exit, early_failure};
use super::json::doctor_line;
use super::output::Output;
use super::{peer, state_folder};
use crate::base::escape;
use crate::peer::{DoctorOptions, Finding, examine};
use crate::storage::StateKind;

/// Runs the checks.
pub(super) fn run(arguments: DoctorArguments) -> Exit {
    let output = Output::new(arguments.json);
    let exit = check(arguments, &output).unwrap_or_else(|(message, exit)| {
        output.error(&message);
        exit
    });
    if output.finish() { exit } else { Exit::Failure }
}

fn check(arguments: DoctorArguments, output: &Output) -> Result<Exit, EarlyExit> {
    let listen = peer::resolve(&arguments.listen).map_err(early_failure)?;
    let folder = match (arguments.dir, listen.port()) {
        (Some(named), _) => Some(named),
        (None, 0) => None,
        (None, port) => {
            let path = state_folder::default_path(StateKind::Peer, port);
            Some(path.map_err(|error| (error.to_string(), Exit::Usage))?)
        }
    };
    let options = DoctorOptions {
        listen,
        tracker_info: arguments.tracker_info,
        folder,
    };
    let mut findings = Vec::new();
    examine(&options, |finding| {
        if !output.is_json() {
            output.result(&line(&finding));
        }
        findings.push(finding);
    });
    if output.is_json() {
        output.result(&doctor_line(&findings));
    }
    Ok(Exit::of(!findings.iter().any(Finding::is_fault)))
}

/// A finding as one line of text.
fn line(finding: &Finding) -> String {
    let (verdict, check) = (finding.verdict.as_str(), finding.check.as_str());
    let advice = finding.advice.as_ref();
    let advice = advice.map_or(String::new(), |advice| format!(": {advice}"));
    escape(&format!(
        "{verdict:7}  {check:14}  {}{advice}",
        finding.text
    ))
    .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::{Check, Verdict};

    #[test]
    fn a_line_says_what_was_found_and_what_to_do() {
        let mut finding = Finding {
            check: Check::Tracker,
            verdict: Verdict::Fault,
            text: "t:1 is\u{1b} away".into(),
            advice: Some("start it".into()),
        };
        assert_eq!(
            line(&finding),
            "error    tracker         t:1 is\\u{1b} away: start it"
        );
        assert!(finding.is_fault());
        (finding.verdict, finding.advice) = (Verdict::Warning, None);
        assert_eq!(
            line(&finding),
            "warning  tracker         t:1 is\\u{1b} away"
        );
        assert!(!finding.is_fault());
    }
}
