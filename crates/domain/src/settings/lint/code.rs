//! What can be found, how bad it is, and what is said of it in three languages.

use serde::Serialize;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Notice,
    /// Probably not what was meant.
    Warning,
    /// Must not be published.
    Error,
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// A value of the wrong type.
    WrongType,
    /// A value that is none of those allowed, or has the wrong form.
    BadValue,
    /// A number out of range.
    OutOfRange,
    /// A list with too many entries.
    TooMany,
    /// A field that an object cannot have.
    UnknownField,
    /// A field that an object must have.
    MissingField,
    /// Not exactly one of several fields.
    FieldChoice,
    /// A permission rule that cannot be read.
    BadRule,
    /// A name that no environment variable can have.
    BadVariable,
    /// A credential by its looks.
    SecretValue,
    /// A version range that nothing is in.
    EmptyVersionRange,
    /// A key that is not known.
    UnknownKey,
    /// A permission rule for a tool that is not known.
    UnknownTool,
    /// A variable whose value is none of those known.
    OddVariableValue,
    /// A variable with small letters.
    LowercaseVariable,
    /// A variable that holds a credential.
    SecretVariable,
    /// A variable that decides where traffic goes.
    Redirect,
    /// A telemetry endpoint delivered by the gateway.
    TelemetryEndpoint,
    /// A model that is not known.
    UnknownModel,
    /// A model that is no longer served.
    RetiredModel,
    /// A model that the same document does not allow.
    ModelNotAllowed,
    /// A list of models that leaves the default free.
    ModelsNotEnforced,
    /// A restriction to a list that is missing or empty.
    LockWithoutList,
    /// Something that needs another key, which is missing.
    NeedsOther,
    /// A key that another one makes ineffective.
    NoEffect,
    /// A way to sign in beside a credential that it blocks.
    LoginBlocksCredential,
    /// A key that must be on the machine before anybody signs in.
    LoginKey,
    /// A key that the client does not read from the gateway.
    IgnoredRemotely,
    /// A rule that allows nearly everything.
    BroadAllow,
    /// A rule that is both allowed and denied.
    AllowedAndDenied,
    /// A malformed value that the client takes as the strictest.
    FailsClosed,
    /// A malformed value that the client ignores.
    FailsOpen,
    /// A key that older clients do not know.
    NeedsNewerClient,
    /// A key that another has replaced.
    Replaced,
    /// A list that allows nothing.
    AllowsNothing,
    /// An entry that a list has twice.
    Duplicate,
    /// Something that raises the approval dialog.
    ApprovalDialog,
    /// Something that needs a second person.
    TwoPeople,
    /// Telemetry that contains what people write.
    ContentExported,
    /// A credential of one layer that a weaker layer sends elsewhere.
    CredentialRedirected,
    /// A layer's value that a lock refused.
    RefusedByLock,
    /// A layer's value that would displace a deny-list.
    RefusedDenyList,
    /// A layer's value that others override.
    Shadowed,
}

/// How bad a code is and what is said of it. Words in braces stand for the details of a finding.
pub(super) struct Entry {
    pub(super) code: Code,
    pub(super) severity: Severity,
    pub(super) texts: [&'static str; 3],
}

impl Code {
    /// Every code.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|entry| entry.code)
    }

    /// How bad it is.
    pub fn severity(self) -> Severity {
        self.entry().severity
    }

    pub(super) fn entry(self) -> &'static Entry {
        TABLE.iter().find(|entry| entry.code == self).expect("a test finds every code in the table")
    }
}

use Severity::{Error, Notice, Warning};

const fn entry(code: Code, severity: Severity, texts: [&'static str; 3]) -> Entry {
    Entry { code, severity, texts }
}

#[rustfmt::skip]
const TABLE: &[Entry] = &[
    entry(Code::WrongType, Error, ["`{path}` is {given}; expected {expected}", "`{path}` 的类型不对：{given}；应为 {expected}", "`{path}` 的型別不符：{given}；應為 {expected}"]),
    entry(Code::BadValue, Error, ["`{path}` is `{given}`; expected {expected}{hint}", "`{path}` 的值为 `{given}`；应为 {expected}{hint}", "`{path}` 的值為 `{given}`；應為 {expected}{hint}"]),
    entry(Code::OutOfRange, Error, ["`{path}` is {given}; expected {expected}", "`{path}` 的值 {given} 超出范围；应为 {expected}", "`{path}` 的值 {given} 超出範圍；應為 {expected}"]),
    entry(Code::TooMany, Error, ["`{path}` has {given} entries; at most {expected} are taken", "`{path}` 有 {given} 个条目；最多 {expected} 个", "`{path}` 有 {given} 個項目；最多 {expected} 個"]),
    entry(Code::UnknownField, Error, ["`{path}` is no field of this object{hint}", "该对象没有 `{path}` 字段{hint}", "該物件沒有 `{path}` 欄位{hint}"]),
    entry(Code::MissingField, Error, ["`{path}` lacks the field `{expected}`", "`{path}` 缺少字段 `{expected}`", "`{path}` 缺少欄位 `{expected}`"]),
    entry(Code::FieldChoice, Error, ["`{path}` must have exactly one of {expected}", "`{path}` 必须且只能包含其中之一：{expected}", "`{path}` 必須且只能包含其中之一：{expected}"]),
    entry(Code::BadRule, Error, ["`{path}` is `{given}`, not a permission rule such as `Read` or `Bash(git log:*)`", "`{path}` 的 `{given}` 不是权限规则，正确示例：`Read` 或 `Bash(git log:*)`", "`{path}` 的 `{given}` 不是權限規則，正確範例：`Read` 或 `Bash(git log:*)`"]),
    entry(Code::BadVariable, Error, ["`{path}` is no name of a variable; use letters, digits and `_`, and no digit first", "`{path}` 不是有效的变量名；只能使用字母、数字和 `_`，且不能以数字开头", "`{path}` 不是有效的變數名稱；只能使用字母、數字與 `_`，且不能以數字開頭"]),
    entry(Code::SecretValue, Error, ["`{path}` looks like a credential; everybody who gets the settings could read it, so deliver it by a helper command", "`{path}` 看起来是凭据，收到设置的所有人都能读取；请改用命令提供", "`{path}` 看起來是憑證，收到設定的所有人都能讀取；請改用命令提供"]),
    entry(Code::EmptyVersionRange, Error, ["requiredMinimumVersion {given} is above requiredMaximumVersion {expected}, so no client starts", "requiredMinimumVersion {given} 高于 requiredMaximumVersion {expected}，任何客户端都无法启动", "requiredMinimumVersion {given} 高於 requiredMaximumVersion {expected}，任何用戶端都無法啟動"]),
    entry(Code::UnknownKey, Warning, ["`{path}` is no known key{hint}; it is delivered all the same", "`{path}` 不是已知的键{hint}；仍会照常下发", "`{path}` 不是已知的鍵{hint}；仍會照常下發"]),
    entry(Code::UnknownTool, Warning, ["`{path}` names the tool `{given}`, which is not known{hint}", "`{path}` 中的工具 `{given}` 未知{hint}", "`{path}` 中的工具 `{given}` 未知{hint}"]),
    entry(Code::OddVariableValue, Warning, ["`{path}` is `{given}`; expected {expected}", "`{path}` 的值为 `{given}`；应为 {expected}", "`{path}` 的值為 `{given}`；應為 {expected}"]),
    entry(Code::LowercaseVariable, Warning, ["`{path}` has small letters; variables are told apart by case", "`{path}` 含有小写字母；变量名区分大小写", "`{path}` 含有小寫字母；變數名稱區分大小寫"]),
    entry(Code::SecretVariable, Warning, ["`{path}` holds a credential; everybody who gets the settings can read it", "`{path}` 含有凭据；收到设置的所有人都能读取", "`{path}` 含有憑證；收到設定的所有人都能讀取"]),
    entry(Code::Redirect, Warning, ["`{path}` decides where prompts, replies or telemetry go; make sure that it is ours", "`{path}` 决定提示、回复或遥测数据的去向；请确认目标属于本组织", "`{path}` 決定提示、回覆或遙測資料的去向；請確認目標屬於本組織"]),
    entry(Code::TelemetryEndpoint, Warning, ["`{path}` raises the approval dialog and is not needed: clients of the gateway send telemetry to it anyway", "`{path}` 会触发批准对话框且并无必要：网关客户端本就将遥测发往网关", "`{path}` 會觸發核准對話方塊且並無必要：閘道用戶端本就將遙測送往閘道"]),
    entry(Code::UnknownModel, Warning, ["`{path}` names the model `{given}`, which is not known", "`{path}` 中的模型 `{given}` 未知", "`{path}` 中的模型 `{given}` 未知"]),
    entry(Code::RetiredModel, Warning, ["`{path}` names the model `{given}`, which is no longer served", "`{path}` 中的模型 `{given}` 已停止服务", "`{path}` 中的模型 `{given}` 已停止服務"]),
    entry(Code::ModelNotAllowed, Warning, ["`{path}` names `{given}`, which {expected} of the same settings does not let through", "`{path}` 中的 `{given}` 被同一设置中的 {expected} 排除", "`{path}` 中的 `{given}` 被同一設定中的 {expected} 排除"]),
    entry(Code::ModelsNotEnforced, Warning, ["`availableModels` without `enforceAvailableModels: true` leaves the default model free", "`availableModels` 未配合 `enforceAvailableModels: true`，默认模型不受限制", "`availableModels` 未搭配 `enforceAvailableModels: true`，預設模型不受限制"]),
    entry(Code::LockWithoutList, Warning, ["`{path}` without entries in `{expected}` blocks everything", "`{path}` 生效而 `{expected}` 为空，将阻止一切", "`{path}` 生效而 `{expected}` 為空，將阻擋一切"]),
    entry(Code::NeedsOther, Warning, ["`{path}` has no effect without `{expected}`", "缺少 `{expected}` 时 `{path}` 不起作用", "缺少 `{expected}` 時 `{path}` 不起作用"]),
    entry(Code::NoEffect, Warning, ["`{path}` has no effect beside `{expected}`", "存在 `{expected}` 时 `{path}` 不起作用", "存在 `{expected}` 時 `{path}` 不起作用"]),
    entry(Code::LoginBlocksCredential, Warning, ["`{path}` blocks the start of a client that has the credential in `{expected}`", "`{path}` 会阻止使用 `{expected}` 凭据的客户端启动", "`{path}` 會阻擋使用 `{expected}` 憑證的用戶端啟動"]),
    entry(Code::LoginKey, Warning, ["`{path}` has no effect when the gateway delivers it: it must be on the machine before anybody signs in", "`{path}` 由网关下发时不起作用：必须在登录之前存在于本机", "`{path}` 由閘道下發時不起作用：必須在登入之前存在於本機"]),
    entry(Code::IgnoredRemotely, Warning, ["`{path}` is not read from the gateway; deliver it by file or device management", "`{path}` 不会从网关读取；请通过文件或设备管理下发", "`{path}` 不會從閘道讀取；請透過檔案或裝置管理下發"]),
    entry(Code::BroadAllow, Warning, ["`{path}` is `{given}`, which allows nearly everything without asking", "`{path}` 的 `{given}` 几乎允许一切操作而不询问", "`{path}` 的 `{given}` 幾乎允許一切操作而不詢問"]),
    entry(Code::AllowedAndDenied, Warning, ["`{path}` is `{given}`, which `permissions.deny` forbids", "`{path}` 的 `{given}` 已被 `permissions.deny` 禁止", "`{path}` 的 `{given}` 已被 `permissions.deny` 禁止"]),
    entry(Code::FailsClosed, Warning, ["the client takes a malformed `{path}` as the strictest value", "`{path}` 格式有误时，客户端按最严格的值处理", "`{path}` 格式有誤時，用戶端依最嚴格的值處理"]),
    entry(Code::FailsOpen, Warning, ["the client ignores a malformed `{path}`, so the restriction is lost", "`{path}` 格式有误时客户端会忽略，限制随之失效", "`{path}` 格式有誤時用戶端會忽略，限制隨之失效"]),
    entry(Code::NeedsNewerClient, Notice, ["`{path}` is known to clients from {expected} on; clients from {given} on are let in", "`{path}` 需要 {expected} 及以上版本的客户端；目前允许 {given} 及以上", "`{path}` 需要 {expected} 以上版本的用戶端；目前允許 {given} 以上"]),
    entry(Code::Replaced, Notice, ["`{path}` has been replaced by `{expected}`", "`{path}` 已被 `{expected}` 取代", "`{path}` 已被 `{expected}` 取代"]),
    entry(Code::AllowsNothing, Notice, ["`{path}` is empty and so allows nothing", "`{path}` 为空，即全部不允许", "`{path}` 為空，即全部不允許"]),
    entry(Code::Duplicate, Notice, ["`{path}` has `{given}` twice", "`{path}` 中 `{given}` 重复", "`{path}` 中 `{given}` 重複"]),
    entry(Code::ApprovalDialog, Notice, ["`{path}` asks the user for approval; who declines cannot start the client", "`{path}` 会请求用户批准；拒绝者无法启动客户端", "`{path}` 會請求使用者核准；拒絕者無法啟動用戶端"]),
    entry(Code::TwoPeople, Notice, ["`{path}` makes programs run on users' machines, so a change of it needs two people", "`{path}` 会在用户机器上运行程序，修改需要两人批准", "`{path}` 會在使用者電腦上執行程式，修改需要兩人核准"]),
    entry(Code::ContentExported, Notice, ["`{path}` puts what people write, or what tools return, into telemetry", "`{path}` 会将用户输入或工具返回的内容写入遥测", "`{path}` 會將使用者輸入或工具傳回的內容寫入遙測"]),
    entry(Code::CredentialRedirected, Warning, ["`{path}` of {given} sends the credential `{expected}` of a stronger layer elsewhere; lock `{path}`", "{given} 的 `{path}` 会把更高层级的凭据 `{expected}` 发往别处；请锁定 `{path}`", "{given} 的 `{path}` 會把更高層級的憑證 `{expected}` 送往別處；請鎖定 `{path}`"]),
    entry(Code::RefusedByLock, Warning, ["`{path}` of {given} is not taken: {expected} has locked `{hint}`", "{given} 的 `{path}` 未被采用：{expected} 已锁定 `{hint}`", "{given} 的 `{path}` 未被採用：{expected} 已鎖定 `{hint}`"]),
    entry(Code::RefusedDenyList, Warning, ["`{path}` of {given} is not taken: it would displace a deny-list, which only grows", "{given} 的 `{path}` 未被采用：它会取代只能增加的拒绝列表", "{given} 的 `{path}` 未被採用：它會取代只能增加的拒絕清單"]),
    entry(Code::Shadowed, Notice, ["`{path}` of {given} is overridden by {expected}", "{given} 的 `{path}` 被 {expected} 覆盖", "{given} 的 `{path}` 被 {expected} 覆寫"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Each variant must be named here; a new one does not compile until it is.
    fn position(code: Code) -> usize {
        code as usize
    }

    #[test]
    fn the_table_has_every_code_in_order_and_each_text_the_same_details() {
        for (at, entry) in TABLE.iter().enumerate() {
            assert_eq!(entry.code.entry().code, entry.code);
            let details = |text: &str| {
                let mut names: Vec<String> = text
                    .split('{')
                    .skip(1)
                    .filter_map(|rest| Some(rest.split_once('}')?.0.to_owned()))
                    .collect();
                names.sort();
                names
            };
            let [en, cn, tw] = entry.texts;
            assert_eq!(details(en), details(cn), "{at}");
            assert_eq!(details(en), details(tw), "{at}");
        }
        let mut all: Vec<usize> = TABLE.iter().map(|entry| position(entry.code)).collect();
        all.sort_unstable();
        assert_eq!(all, (0..=position(Code::Shadowed)).collect::<Vec<_>>());
    }
}
