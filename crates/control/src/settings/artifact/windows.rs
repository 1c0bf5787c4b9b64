//! Windows: a registry file, an administrative template, and a script.
//!
//! The client reads the text value `Settings` of `HKLM\SOFTWARE\Policies\ClaudeCode`: the settings as JSON.
//! Templates: <https://learn.microsoft.com/previous-versions/windows/desktop/policy/admx-schema>.

use base64ct::{Base64, Encoding as _};

use super::{File, Subject, escaped, one_line};

const KEY: &str = r"SOFTWARE\Policies\ClaudeCode";
/// Longest text that the template takes.
const MAX_LENGTH: u32 = 1_000_000;

/// A registry file: UTF-16 with a byte order mark, as the registry editor writes them.
pub(super) fn registry(subject: &Subject<'_>) -> File {
    let value = one_line(subject).replace('\\', r"\\").replace('"', "\\\"");
    let text = format!(
        "Windows Registry Editor Version 5.00\r\n\r\n[HKEY_LOCAL_MACHINE\\{KEY}]\r\n\"Settings\"=\"{value}\"\r\n\r\n"
    );
    let units = std::iter::once(0xFEFF).chain(text.encode_utf16());
    File { path: "claude-code-settings.reg".to_owned(), bytes: units.flat_map(u16::to_le_bytes).collect() }
}

/// A script that writes the value. The settings are in Base64, so that no code page and no quotation mark changes them.
pub(super) fn script(subject: &Subject<'_>) -> File {
    let value = Base64::encode_string(one_line(subject).as_bytes());
    let text = format!(
        "# Settings of Claude Code, {checksum}\r\n\
         # Runs as the system account, for example as a platform script of Intune.\r\n\
         $ErrorActionPreference = 'Stop'\r\n\
         $key = 'HKLM:\\{KEY}'\r\n\
         $settings = [Text.Encoding]::UTF8.GetString([Convert]::FromBase64String('{value}'))\r\n\
         if (-not (Test-Path -LiteralPath $key)) {{ New-Item -Path $key -Force | Out-Null }}\r\n\
         New-ItemProperty -LiteralPath $key -Name 'Settings' -PropertyType String -Value $settings -Force | Out-Null\r\n",
        checksum = subject.checksum,
    );
    File { path: "Set-ClaudeCodeSettings.ps1".to_owned(), bytes: text.into_bytes() }
}

/// Texts of the template in one language.
struct Language {
    folder: &'static str,
    category: &'static str,
    name: &'static str,
    help: &'static str,
    label: &'static str,
    supported: &'static str,
}

const LANGUAGES: [Language; 3] = [
    Language {
        folder: "en-US",
        category: "Claude Code",
        name: "Settings of Claude Code",
        help: "The settings of Claude Code as JSON on one line. Users cannot change them.",
        label: "Settings (JSON)",
        supported: "Windows 10 and later",
    },
    Language {
        folder: "zh-CN",
        category: "Claude Code",
        name: "Claude Code 设置",
        help: "以单行 JSON 表示的 Claude Code 设置。用户无法更改。",
        label: "设置（JSON）",
        supported: "Windows 10 及更高版本",
    },
    Language {
        folder: "zh-TW",
        category: "Claude Code",
        name: "Claude Code 設定",
        help: "以單行 JSON 表示的 Claude Code 設定。使用者無法變更。",
        label: "設定（JSON）",
        supported: "Windows 10 以上版本",
    },
];

/// The administrative template, its texts, the value to enter, and the same as device management takes it.
pub(super) fn template(subject: &Subject<'_>) -> Vec<File> {
    let value = one_line(subject);
    let entry = format!("<enabled/>\r\n<data id=\"Settings\" value=\"{}\"/>\r\n", escaped(&value));
    let file = |path: &str, text: String| File { path: path.to_owned(), bytes: text.into_bytes() };
    let mut files = vec![file("ClaudeCode.admx", admx())];
    files.extend(LANGUAGES.iter().map(|one| file(&format!("{}/ClaudeCode.adml", one.folder), adml(one))));
    files.push(file("Settings.txt", value));
    files.push(file("Settings.oma-uri.txt", entry));
    files
}

fn admx() -> String {
    let text = format!(
        r#"<?xml version="1.0" encoding="utf-8"?>
<policyDefinitions revision="1.0" schemaVersion="1.0" xmlns="http://schemas.microsoft.com/GroupPolicy/2006/07/PolicyDefinitions">
  <policyNamespaces>
    <target prefix="claudecode" namespace="Gatehouse.Policies.ClaudeCode"/>
  </policyNamespaces>
  <resources minRequiredRevision="1.0"/>
  <supportedOn>
    <definitions>
      <definition name="Supported" displayName="$(string.Supported)"/>
    </definitions>
  </supportedOn>
  <categories>
    <category name="ClaudeCode" displayName="$(string.Category)"/>
  </categories>
  <policies>
    <policy name="Settings" class="Machine" displayName="$(string.Settings)" explainText="$(string.Settings_Help)" presentation="$(presentation.Settings)" key="{KEY}">
      <parentCategory ref="ClaudeCode"/>
      <supportedOn ref="Supported"/>
      <elements>
        <text id="Settings" valueName="Settings" required="true" maxLength="{MAX_LENGTH}"/>
      </elements>
    </policy>
  </policies>
</policyDefinitions>
"#
    );
    text.replace('\n', "\r\n")
}

fn adml(language: &Language) -> String {
    let text = format!(
        r#"<?xml version="1.0" encoding="utf-8"?>
<policyDefinitionResources revision="1.0" schemaVersion="1.0" xmlns="http://schemas.microsoft.com/GroupPolicy/2006/07/PolicyDefinitions">
  <displayName>{category}</displayName>
  <description>{name}</description>
  <resources>
    <stringTable>
      <string id="Category">{category}</string>
      <string id="Supported">{supported}</string>
      <string id="Settings">{name}</string>
      <string id="Settings_Help">{help}</string>
    </stringTable>
    <presentationTable>
      <presentation id="Settings">
        <textBox refId="Settings">
          <label>{label}</label>
        </textBox>
      </presentation>
    </presentationTable>
  </resources>
</policyDefinitionResources>
"#,
        category = language.category,
        supported = language.supported,
        name = language.name,
        help = language.help,
        label = language.label,
    );
    text.replace('\n', "\r\n")
}
