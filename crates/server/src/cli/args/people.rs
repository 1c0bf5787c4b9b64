//! The words of `user`, `team` and `project`.

use clap::Subcommand;

/// `user …`
#[derive(Subcommand)]
pub(crate) enum UserCommand {
    /// Add a person
    Add {
        /// E-mail address
        email: String,
        /// Team to join; may be given several times
        #[arg(long = "team", value_name = "TEAM")]
        teams: Vec<String>,
        /// Name for people to read
        #[arg(long)]
        name: Option<String>,
    },
    /// List people
    List {
        /// Only those whose address or name contains this
        #[arg(long, value_name = "TEXT")]
        find: Option<String>,
    },
    /// Show a person
    Get {
        /// E-mail address or id
        user: String,
    },
    /// Let a disabled person's keys work again
    Enable {
        /// E-mail address or id
        user: String,
    },
    /// Refuse all keys of a person from now on
    Disable {
        /// E-mail address or id
        user: String,
    },
    /// Replace a person's teams
    Teams {
        /// E-mail address or id
        user: String,
        /// All teams from now on; none to leave all
        teams: Vec<String>,
    },
    /// Give a person another address, so that somebody else can have the old one
    Address {
        /// E-mail address or id
        user: String,
        /// The new address
        email: String,
    },
    /// Show where a person signs in, or forget it
    Identities {
        /// E-mail address or id
        user: String,
        /// Forget it and end their sessions: who next signs in with their address is taken for them
        #[arg(long)]
        forget: bool,
    },
    /// Set the password that a person signs in with on the gateway's own page, read from standard input
    Password {
        /// E-mail address or id
        user: String,
        /// Remove it instead, and the second factors with it
        #[arg(long)]
        remove: bool,
    },
    /// Second factors of who signs in on the gateway's own page
    #[command(subcommand)]
    Factor(FactorCommand),
}

/// `user factor …`
#[derive(Subcommand)]
pub(crate) enum FactorCommand {
    /// Show what a person has besides a password
    List {
        /// E-mail address or id
        user: String,
    },
    /// Remove all of it, recovery codes included; local sessions end
    Reset {
        /// E-mail address or id
        user: String,
    },
    /// Make a link by which a person may add an authenticator app or a passkey: once, within a day
    Link {
        /// E-mail address or id
        user: String,
    },
}

/// `team …`
#[derive(Subcommand)]
pub(crate) enum TeamCommand {
    /// Add a team
    Add {
        /// Its name
        name: String,
    },
    /// List teams
    List,
    /// Set the models that a team's members may use
    Models {
        /// The team
        team: String,
        /// The models, separated by commas; `*` at the end stands for anything; none for every model
        #[arg(value_delimiter = ',')]
        models: Vec<String>,
    },
    /// Set how sensitive the data is that a team works on; access policies may ask for it
    Set {
        /// The team
        team: String,
        /// What to set
        #[command(flatten)]
        class: ClassArgs,
    },
}

/// A data class, or none.
#[derive(clap::Args)]
#[group(required = true, multiple = false)]
pub(crate) struct ClassArgs {
    /// A class of `data_class.order` in the configuration
    #[arg(long, value_name = "CLASS")]
    pub(crate) data_class: Option<String>,
    /// Say nothing of it any more
    #[arg(long)]
    no_data_class: bool,
}

/// `project …`
#[derive(Subcommand)]
pub(crate) enum ProjectCommand {
    /// Add a project
    Add {
        /// Its name
        name: String,
    },
    /// List projects
    List,
    /// Set how sensitive a project's data is; access policies may ask for it
    Set {
        /// The project
        project: String,
        /// What to set
        #[command(flatten)]
        class: ClassArgs,
    },
}
