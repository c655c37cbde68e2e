//! The names of the kinds of requests. The list is complete: a kind that is missing here does not
//! compile.

use super::holder_request::HolderRequest;
use super::login_request::LoginRequest;
use super::machine_request::MachineRequest;
use super::request::AccessRequest;

/// Defines the names of the kinds of requests.
macro_rules! request_kinds {
    (
        $($variant:ident $word:literal,)* ;
        $($login:ident $login_word:literal,)* ;
        $($machine:ident $machine_word:literal,)* ;
        $($holder:ident $holder_word:literal,)*
    ) => {
        /// The names of all kinds of requests on the wire.
        pub const REQUEST_KINDS: &[&str] = &[
            $($word,)* $($login_word,)* $($machine_word,)* $($holder_word),*
        ];

        impl AccessRequest {
            /// The name of the kind on the wire. Many kinds have the name of a user's command.
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Self::$variant { .. } => $word,)*
                    Self::Logins(request) => request.kind(),
                    Self::Machine(request) => request.kind(),
                    Self::Holders(request) => request.kind(),
                }
            }
        }

        impl LoginRequest {
            /// The name of the kind on the wire.
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Self::$login { .. } => $login_word,)*
                }
            }
        }

        impl MachineRequest {
            /// The name of the kind on the wire.
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Self::$machine { .. } => $machine_word,)*
                }
            }
        }

        impl HolderRequest {
            /// The name of the kind on the wire.
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Self::$holder { .. } => $holder_word,)*
                }
            }
        }
    };
}

request_kinds! {
    CreateUser "create_user",
    Login "login",
    Logout "logout",
    ChangePassword "change_password",
    CreateGroup "create_group",
    RenameGroup "rename_group",
    JoinGroup "join_group",
    LeaveGroup "leave_group",
    ListGroups "list_groups",
    OwnGroups "own_groups",
    ListMembers "list_members",
    ListRequests "list_requests",
    AcceptRequest "accept_request",
    RejectRequest "reject_request",
    RemoveMember "remove_member",
    SetRole "set_role",
    Certify "certify",
    Publish "publish",
    ListFiles "list_files",
    Metainfo "metainfo",
    FindVersion "find_version",
    Withdraw "withdraw",
    Withdrawals "withdrawals",
    Announce "announce",
    Cluster "cluster",
    CheckPort "check_port",
    ChangedShares "changed_shares",
    ListDecisions "news",
    ;
    List "list_logins",
    End "end_login",
    ;
    CreateToken "create_token",
    Enrol "enrol",
    LogIn "login_machine",
    RevokeToken "revoke_token",
    RevokeMachine "revoke_machine",
    AllowMachine "allow_machine",
    ListTokens "list_tokens",
    ListMachines "list_machines",
    ;
    Holders "list_holders",
    Mirrors "list_mirrors",
    Mirroring "mirroring",
}
