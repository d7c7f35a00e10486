//! Names for demo users.

/// Given names.
pub(crate) const GIVEN: &[&str] = &[
    "Anna", "Bruno", "Clara", "David", "Elif", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Karin",
    "Luca", "Mira", "Nadia", "Omar", "Petra", "Quirin", "Rosa", "Samir", "Tessa", "Umut", "Vera",
    "Walter", "Xenia", "Yara", "Zoran",
];

/// Surnames.
pub(crate) const SURNAME: &[&str] = &[
    "Adler", "Berger", "Costa", "Dietrich", "Engel", "Fischer", "Graf", "Haas", "Ivanov", "Jansen",
    "Keller", "Lindner", "Meier", "Novak", "Ott", "Peters", "Quast", "Richter", "Schulz", "Tanaka",
    "Ullmann", "Vogel", "Weber", "Yilmaz", "Zander",
];

/// Departments.
pub(crate) const DEPARTMENT: &[&str] =
    &["Sales", "Purchasing", "Engineering", "Accounting", "Support", "Logistics", "Management"];

/// Subjects and first sentences of the messages.
pub(crate) const MESSAGES: &[(&str, &str)] = &[
    ("Welcome", "this mailbox was filled for a trial."),
    ("Agenda for Monday", "please add your points to the list until Friday."),
    ("Offer 4711", "the customer has agreed, can you send the papers?"),
    ("Lunch?", "twelve o'clock at the usual place."),
    ("Minutes", "find the decisions of yesterday below."),
];
