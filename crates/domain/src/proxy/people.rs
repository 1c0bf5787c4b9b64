//! What the forward proxy knows of people: who is recognized by an address, and which teams they are in.

use std::collections::HashMap;
use std::sync::Arc;

use crate::directory::UserState;
use crate::id::{TeamId, UserId};

use super::decide::{Policy, Who};

/// A person as the proxy knows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub user: UserId,
    /// Their e-mail address, in lower case.
    pub email: String,
    /// Their state.
    pub state: UserState,
    /// Their teams.
    pub teams: Vec<TeamId>,
}

/// The people of the organization, as those who listen know them.
#[derive(Debug, Clone, Default)]
pub struct People {
    by_id: HashMap<UserId, Arc<Member>>,
    by_email: HashMap<String, Arc<Member>>,
}

impl People {
    /// These people.
    pub fn new(members: impl IntoIterator<Item = Member>) -> Self {
        let mut people = Self::default();
        for member in members {
            let member = Arc::new(member);
            people.by_email.insert(member.email.clone(), Arc::clone(&member));
            people.by_id.insert(member.user, member);
        }
        people
    }

    /// Whoever has this e-mail address, in whatever case it is written.
    pub fn by_email(&self, email: &str) -> Option<&Arc<Member>> {
        self.by_email.get(&email.to_lowercase())
    }

    /// This person.
    pub fn by_id(&self, user: UserId) -> Option<&Arc<Member>> {
        self.by_id.get(&user)
    }

    /// This person with their teams and the one that their credential charges.
    pub fn who(&self, user: UserId, charged: Option<TeamId>) -> Who {
        let mut teams = self.by_id(user).map_or_else(Vec::new, |member| member.teams.clone());
        teams.extend(charged.filter(|team| !teams.contains(team)));
        Who { user, teams }
    }
}

/// Rules and people together, as the policy snapshot has them.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// The rules.
    pub policy: Policy,
    /// The people.
    pub people: People,
}
