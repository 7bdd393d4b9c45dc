// What went wrong, in words.

/** The label of a failure that is not the backend's answer: there was none. */
export const UNREACHABLE = "unreachable";

/** By the label of the API's error. */
const WORDS = {
  [UNREACHABLE]: "The backend does not answer. Look at your connection and try again.",
  "no-configuration": "This page cannot read its configuration.",
  "no-common-version": "These pages and the backend speak no common version of the API.",
  "another-backend": "The backend that answers is not this page's.",
  "access-denied": "You may not do this.",
  "cannot-join-multiple-teams": "You are in a team already, and nobody can be in two.",
  "email-exists": "This e-mail address belongs to somebody who is in a team.",
  "invalid-code": "This code is wrong, or its time is over.",
  "invalid-conversation-password": "The password of the conversation is wrong.",
  "invalid-credentials": "E-mail address, handle or password is wrong.",
  "invalid-email": "This is not an e-mail address.",
  "invalid-invitation-code": "This invitation does not exist any more, or is for another e-mail address.",
  "key-exists": "This e-mail address has an account already.",
  "missing-auth": "The password is missing.",
  "no-conversation": "This conversation does not exist any more.",
  "no-conversation-code": "This link does not exist any more.",
  "no-other-owner": "A team must keep an owner. Make somebody else an owner first.",
  "operation-denied": "Your role in the team does not allow this.",
  "password-must-differ": "The new password must differ from the old one.",
  "pending-activation": "The e-mail address of this account is not confirmed yet.",
  suspended: "This account is suspended. Ask whoever runs this backend.",
  "too-many-requests": "Too many requests. Wait a minute and try again.",
  "too-many-team-invitations": "The team has too many open invitations.",
  "too-many-team-members": "The team is full.",
  "user-already-in-a-team": "You are in a team already.",
};

/** By status, for labels that say too little or are missing. */
const WORDS_OF_STATUS = {
  401: "Your session is over. Log in again.",
  413: "This is too long.",
  420: WORDS["too-many-requests"],
  429: "Too many attempts. Wait some minutes and try again.",
  502: "The backend cannot answer now. Try again in a moment.",
  503: "The backend cannot answer now. Try again in a moment.",
  504: "The backend cannot answer now. Try again in a moment.",
};

/** A request that failed: its error's label, message and HTTP status, 0 where there was no answer. */
export class ApiError extends Error {
  constructor(label, message, status) {
    super(message);
    this.label = label;
    this.status = status;
  }
}

/** An error in words for people. */
export function words(error) {
  if (!(error instanceof ApiError)) {
    // Shown to people as little as possible, and whole to who looks for the cause.
    console.error(error);
    return "Something went wrong on this page.";
  }
  const known = WORDS[error.label] ?? WORDS_OF_STATUS[error.status];
  return known ?? `The backend refused: ${error.message || `status ${error.status}`}.`;
}
