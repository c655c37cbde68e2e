//! Accounts and groups end to end: the real binary, real control connections and `kill -9`.

mod common;

/// The tests; their files are in `tests/accounts/`.
mod accounts {
    mod background;
    mod commands;
    mod completion;
    mod console;
    mod crowd;
    mod durable;
    mod hostile;
    mod interrupts;
    mod log_outs;
    mod login;
    mod login_list;
    mod logins_that_last;
    mod machine_roles;
    mod operator;
    mod prompt;
    mod quotas;
    mod roles;
    mod scale;
    mod secrets;
    mod story;
    mod terminals;
    mod versions;
}
