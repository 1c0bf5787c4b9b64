//! The sign-in page's texts, in three languages.

use axum::http::header;

use super::form::Cookie;
use super::request::{Asked, Form};
use super::settings::PublicUrl;

/// A language of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    English,
    Simplified,
    Traditional,
}

impl Language {
    pub(super) const ALL: [Self; 3] = [Self::English, Self::Simplified, Self::Traditional];

    /// Its tag (BCP 47).
    pub(super) const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Simplified => "zh-Hans",
            Self::Traditional => "zh-Hant",
        }
    }

    /// Its name in itself.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::Simplified => "简体中文",
            Self::Traditional => "繁體中文",
        }
    }

    fn of_tag(tag: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|language| language.tag().eq_ignore_ascii_case(tag))
    }

    /// The language of a request: as chosen, else as the browser prefers.
    pub(super) fn of(url: &PublicUrl, asked: &Asked, fields: &Form) -> Self {
        let chosen = fields.get("lang").or_else(|| asked.cookie(Cookie::Language.name(url)));
        chosen
            .and_then(Self::of_tag)
            .unwrap_or_else(|| Self::preferred(asked.header(header::ACCEPT_LANGUAGE).unwrap_or_default()))
    }

    /// The first that we have of those a browser accepts, the best liked first (RFC 9110 section 12.5.4).
    fn preferred(accepted: &str) -> Self {
        let mut best = (0, Self::English);
        for range in accepted.split(',').take(20) {
            let mut parts = range.split(';');
            let tag = parts.next().unwrap_or_default().trim();
            let quality = parts.find_map(|part| part.trim().strip_prefix("q=")).map_or(1000, thousandths);
            if quality > best.0
                && let Some(language) = Self::of_range(tag)
            {
                best = (quality, language);
            }
        }
        best.1
    }

    fn of_range(tag: &str) -> Option<Self> {
        let lower = tag.to_ascii_lowercase();
        let mut subtags = lower.split('-');
        match subtags.next() {
            Some("en") => Some(Self::English),
            Some("zh") => {
                let traditional = subtags.any(|subtag| matches!(subtag, "hant" | "tw" | "hk" | "mo"));
                Some(if traditional { Self::Traditional } else { Self::Simplified })
            }
            _ => None,
        }
    }

    /// The texts.
    pub(super) const fn texts(self) -> &'static Texts {
        match self {
            Self::English => &ENGLISH,
            Self::Simplified => &SIMPLIFIED,
            Self::Traditional => &TRADITIONAL,
        }
    }
}

/// A quality of at most three decimals, in thousandths.
fn thousandths(text: &str) -> u32 {
    let (whole, decimals) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let decimals: String = format!("{decimals:0<3}").chars().take(3).collect();
    let whole: u32 = whole.parse().unwrap_or(0);
    whole.min(1) * 1000 + decimals.parse::<u32>().unwrap_or(0)
}

/// The texts of a language.
pub(super) struct Texts {
    pub(super) title: &'static str,
    pub(super) enter_code: &'static str,
    pub(super) code: &'static str,
    pub(super) next: &'static str,
    pub(super) check_code: &'static str,
    pub(super) continue_with: &'static str,
    pub(super) or_password: &'static str,
    pub(super) email: &'static str,
    pub(super) user_name: &'static str,
    pub(super) password: &'static str,
    pub(super) sign_in: &'static str,
    pub(super) deny: &'static str,
    pub(super) no_way: &'static str,
    pub(super) done: &'static str,
    pub(super) done_more: &'static str,
    pub(super) denied: &'static str,
    pub(super) denied_more: &'static str,
    pub(super) bad_code: &'static str,
    pub(super) bad_password: &'static str,
    pub(super) too_many: &'static str,
    pub(super) not_ours: &'static str,
    pub(super) not_known: &'static str,
    pub(super) provider_failed: &'static str,
    pub(super) unavailable: &'static str,
}

const ENGLISH: Texts = Texts {
    title: "Sign in to the gateway",
    enter_code: "Enter the code that your terminal shows.",
    code: "Code",
    next: "Next",
    check_code: "Go on only if your own terminal shows this code now. Whoever gave you this link could use the sign-in otherwise.",
    continue_with: "Continue with",
    or_password: "Sign in with a password",
    email: "E-mail address",
    user_name: "User name",
    password: "Password",
    sign_in: "Sign in",
    deny: "Deny",
    no_way: "No way to sign in is configured. Ask your administrator.",
    done: "You are signed in.",
    done_more: "Return to your terminal; you can close this page.",
    denied: "The sign-in was denied.",
    denied_more: "Nothing was signed in. You can close this page.",
    bad_code: "This code is unknown, used or expired. Begin the sign-in again in your terminal.",
    bad_password: "The name or the password is wrong.",
    too_many: "There were too many attempts. Wait a few minutes, then try again.",
    not_ours: "This form was not sent from this page, or is too old. Try again.",
    not_known: "You have no account at this gateway. Ask your administrator.",
    provider_failed: "The sign-in at your identity provider did not succeed. Begin it again in your terminal.",
    unavailable: "The gateway cannot do this now. Try again shortly.",
};

const SIMPLIFIED: Texts = Texts {
    title: "登录网关",
    enter_code: "请输入终端上显示的代码。",
    code: "代码",
    next: "下一步",
    check_code: "仅当您自己的终端此刻正显示此代码时才继续，否则发送此链接的人可能会冒用您的登录。",
    continue_with: "使用以下方式继续：",
    or_password: "使用密码登录",
    email: "电子邮件地址",
    user_name: "用户名",
    password: "密码",
    sign_in: "登录",
    deny: "拒绝",
    no_way: "尚未配置任何登录方式，请联系管理员。",
    done: "您已登录。",
    done_more: "请返回终端，可以关闭此页面。",
    denied: "登录已被拒绝。",
    denied_more: "没有任何登录发生，可以关闭此页面。",
    bad_code: "此代码未知、已使用或已过期，请在终端中重新开始登录。",
    bad_password: "用户名或密码错误。",
    too_many: "尝试次数过多，请等待几分钟后再试。",
    not_ours: "此表单并非从本页面发送，或已过期，请重试。",
    not_known: "您在此网关没有账户，请联系管理员。",
    provider_failed: "在身份提供方的登录未成功，请在终端中重新开始。",
    unavailable: "网关暂时无法处理，请稍后重试。",
};

const TRADITIONAL: Texts = Texts {
    title: "登入閘道",
    enter_code: "請輸入終端機上顯示的代碼。",
    code: "代碼",
    next: "下一步",
    check_code: "僅當您自己的終端機此刻正顯示此代碼時才繼續，否則傳送此連結的人可能會冒用您的登入。",
    continue_with: "使用以下方式繼續：",
    or_password: "使用密碼登入",
    email: "電子郵件地址",
    user_name: "使用者名稱",
    password: "密碼",
    sign_in: "登入",
    deny: "拒絕",
    no_way: "尚未設定任何登入方式，請聯絡管理員。",
    done: "您已登入。",
    done_more: "請返回終端機，可以關閉此頁面。",
    denied: "登入已被拒絕。",
    denied_more: "沒有任何登入發生，可以關閉此頁面。",
    bad_code: "此代碼未知、已使用或已過期，請在終端機中重新開始登入。",
    bad_password: "使用者名稱或密碼錯誤。",
    too_many: "嘗試次數過多，請等待幾分鐘後再試。",
    not_ours: "此表單並非從本頁面送出，或已過期，請重試。",
    not_known: "您在此閘道沒有帳戶，請聯絡管理員。",
    provider_failed: "在身分提供者的登入未成功，請在終端機中重新開始。",
    unavailable: "閘道暫時無法處理，請稍後重試。",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_browsers_preference_decides() {
        for (accepted, language) in [
            ("", Language::English),
            ("de,fr;q=0.9", Language::English),
            ("zh-CN,zh;q=0.9,en;q=0.8", Language::Simplified),
            ("en;q=0.8,zh-TW", Language::Traditional),
            ("zh-Hant-HK", Language::Traditional),
            ("zh", Language::Simplified),
            ("en-US,zh;q=0.999", Language::English),
            ("zh;q=0", Language::English),
            ("zh;q=banana, en", Language::English),
        ] {
            assert_eq!(Language::preferred(accepted), language, "{accepted}");
        }
    }
}
