//! Machines and shells: where things are written, and how.

/// A machine's system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::enum_variant_names, reason = "that is what the system is called")]
pub(super) enum Os {
    Linux,
    MacOs,
    Windows,
}

/// A shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::enum_variant_names, reason = "that is what the shell is called")]
pub(super) enum Shell {
    Bash,
    Zsh,
    Fish,
    PowerShell,
}

impl Os {
    /// The system of this name; what is not known is Linux.
    pub(super) fn parse(text: &str) -> Self {
        match text {
            "macos" => Self::MacOs,
            "windows" => Self::Windows,
            _ => Self::Linux,
        }
    }

    pub(super) const fn usual_shell(self) -> Shell {
        match self {
            Self::Linux => Shell::Bash,
            Self::MacOs => Shell::Zsh,
            Self::Windows => Shell::PowerShell,
        }
    }

    /// The client's settings of one person.
    pub(super) const fn settings_file(self) -> &'static str {
        match self {
            Self::Linux | Self::MacOs => "~/.claude/settings.json",
            Self::Windows => r"%USERPROFILE%\.claude\settings.json",
        }
    }

    /// Where further certificates go that the client trusts, unless the operator names a file.
    pub(super) const fn ca_file(self) -> &'static str {
        match self {
            Self::Linux | Self::MacOs => "/usr/local/share/gatehouse/ca.pem",
            Self::Windows => r"C:\ProgramData\Gatehouse\ca.pem",
        }
    }

    /// Where a shell reads its variables at its start.
    pub(super) const fn startup_file(self, shell: Shell) -> &'static str {
        match (shell, self) {
            (Shell::Bash, Self::MacOs) => "~/.bash_profile",
            (Shell::Bash, Self::Linux | Self::Windows) => "~/.bashrc",
            (Shell::Zsh, _) => "~/.zshrc",
            (Shell::Fish, _) => "~/.config/fish/config.fish",
            (Shell::PowerShell, _) => "$PROFILE",
        }
    }
}

impl Shell {
    /// The shell of this name; what is not known is bash.
    pub(super) fn parse(text: &str) -> Self {
        match text {
            "zsh" => Self::Zsh,
            "fish" => Self::Fish,
            "powershell" => Self::PowerShell,
            _ => Self::Bash,
        }
    }

    /// The line that sets a variable for programs.
    pub(super) fn set(self, name: &str, value: &str) -> String {
        match self {
            Self::Bash | Self::Zsh => format!("export {name}='{}'", value.replace('\'', r"'\''")),
            Self::Fish => {
                format!("set -gx {name} '{}'", value.replace('\\', r"\\").replace('\'', r"\'"))
            }
            Self::PowerShell => format!("$env:{name} = '{}'", value.replace('\'', "''")),
        }
    }
}
