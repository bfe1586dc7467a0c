//! Every form a reply may have, written out by hand: `*` stands for anything. A reply that fits none is not in
//! the server's voice.

const FORMS: &[&str] = &[
    "You say: *",
    "Ann *",
    "Ben *",
    "Cara *",
    "Dov *",
    "Eve *",
    "Mod *",
    "Root *",
    "You smile.",
    "You smile at *.",
    "You dance.",
    "You are now: *",
    "You no longer hold a pose.",
    "[local] You: *",
    "[global] You: *",
    "[party] You: *",
    "[whisper] You to *: *",
    "[system] *",
    "[staff] You: *",
    "You go *.",
    "Welcome, *.",
    "Goodbye, *.",
    "*sends you *.",
    "* summons you.",
    "There is no player called '*'.",
    "* is not in the world.",
    "You cannot whisper to yourself.",
    "Whisper what? Usage: whisper <player> <message>",
    "Usage: *",
    "* what?",
    "Nobody has whispered to you yet.",
    "Too long: at most * characters.",
    "Type a command. 'help' lists them.",
    "You may not do that.",
    "You cannot go that way.",
    "That place cannot be reached at the moment. Please try again.",
    "It is locked.",
    "You are muted until ??:??.",
    "There is no command '*'.",
    "There is no command '*'. Did you mean '*'?",
    "You see no '*' here.",
    "There is no place called '*'.",
    "You are not on *. 'channel join *' brings you back.",
    "'*' takes nobody to do it to.",
    "This session has ended.",
    "That cannot be answered at the moment. Please try again.",
    "Not so fast: at most * a minute. Try again in * second*.",
    "Not so fast: at most * a minute *. Try again in * second*.",
    "You have muted *.",
    "You have muted:\n*",
    "You have unmuted *.",
    "You cannot mute yourself.",
    "You have not muted *.",
    "Main Hall\n*",
    "Yard\n*",
    "Cellar\n*",
    "Glade\n*",
    "Brook\n*",
    "* is here*",
    "That is you.",
    "It crackles.",
    "* leads to *.",
    "*: oak door. *",
    "There is nothing special to see in that direction.",
    "* is a player.*",
    "Online: *",
    "It is *:?? on day * of the *, year *. *",
    "The weather here: *.",
    "There is no weather here.",
    "You are indoors. Outside: *.",
    "Channels:\n*",
    "You are on *.",
    "You have left *.",
    "Your default channel is *. 'chat <text>' speaks there.",
    "Nothing has been said on * lately.",
    "On *: *",
    "On *:\n*",
    "Nobody is on *.",
    "'*' now stands for: *",
    "'*' stands for nothing any more.",
    "You have no alias '*'.",
    "Your settings:\n*",
    "* is now on.",
    "* is now off.",
    "Commands: *",
    "Commands:\n*",
    "*\nUsage: *",
    "There is no help on '*'.",
    "There is no help on '*' itself. See: *",
    "There is no help on '*' itself. See:\n*",
    "You send * to *.",
    "You send * upwards.",
    "You summon *.",
    "You have sent * out of the world.",
    "You have muted * for everyone *.",
    "You have unmuted * for everyone.",
    "You cannot do that to yourself.",
    "The server goes down in *. 'shutdown cancel' stops it.",
    "You have cancelled the shutdown.",
    "There is no shutdown to cancel.",
    "Zone *: * player*, * character*, * room*, * part*.\nOnline in the world: *.*",
    "You invite * to your party.",
    "You are with yourself already.",
    "* is in your party already.",
    "* has your invitation already.",
    "Nobody has invited you to a party.",
    "You are in a party already. 'party leave' first.",
    "You are not in a party.",
    "Only the leader of the party may do that.",
    "* is not in your party.",
    "You have joined the party.",
    "You have left the party.",
    "You have removed * from the party.",
    "You have disbanded the party.",
    "Your party: *",
    "Your party:\n*",
    "Emotes: *",
    "Emotes:\n*",
    "You have no aliases.",
    "You have muted nobody.",
    "The party is full: at most * members.",
];

/// The forms, ready to be compared.
pub struct Voice(Vec<Vec<char>>);

impl Voice {
    pub fn new() -> Self {
        Self(FORMS.iter().map(|form| form.chars().collect()).collect())
    }

    /// A reply in the server's voice. What no catalogue knows begins with its key in brackets, and fits no form.
    pub fn is_ours(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        self.0.iter().any(|form| fits(form, &text))
    }
}

/// Whether a text has the form: `*` is any text, `?` any one character. A bracket is met by a bracket alone.
fn fits(form: &[char], text: &[char]) -> bool {
    if (text.first() == Some(&'[')) != (form.first() == Some(&'[')) {
        return false;
    }
    let (mut f, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        if f < form.len() && form[f] == '*' {
            star = Some((f, t));
            f += 1;
        } else if f < form.len() && (form[f] == '?' || form[f] == text[t]) {
            (f, t) = (f + 1, t + 1);
        } else if let Some((at, from)) = star {
            star = Some((at, from + 1));
            (f, t) = (at + 1, from + 1);
        } else {
            return false;
        }
    }
    form[f..].iter().all(|c| *c == '*')
}
