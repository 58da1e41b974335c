"""The English texts of the console, in one place, so that they can be translated."""

from collections.abc import Mapping

TEXTS: Mapping[str, str] = {
    "application": "Stafett",
    "skip": "Skip to the content",
    "login.title": "Sign in",
    "login.introduction": "Sign in with the account of your organisation.",
    "login.provider": "Sign in with {label}",
    "login.signed_out": "You are signed out of Stafett.",
    "home.title": "Console",
    "home.user": "You are signed in as {name}.",
    "home.organisation": "You act for {organisation} as {role}.",
    "home.operator": "You act as an operator of the service.",
    "navigation.label": "Account",
    "navigation.home": "Console",
    "navigation.organisation": "Change organisation",
    "navigation.sessions": "My sessions",
    "navigation.logout": "Sign out",
    "organisation.title": "Choose an organisation",
    "organisation.legend": "Act for",
    "organisation.operator": "None: operate the service",
    "organisation.submit": "Continue",
    "organisation.none": "You do not belong to an organisation any more. Contact its administrator.",
    "sessions.title": "My sessions",
    "sessions.introduction": "Each browser in which you are signed in has a session. End those that you do not know.",
    "sessions.browser": "Browser",
    "sessions.unknown_browser": "Unknown browser",
    "sessions.started": "Signed in",
    "sessions.used": "Last used",
    "sessions.ends": "Ends at the latest",
    "sessions.action": "Action",
    "sessions.current": "This session",
    "sessions.revoke": "End session",
    "sessions.revoke_described": "End the session in {browser}, signed in {time}",
    "sessions.revoke_others": "End all other sessions",
    "error.request_id": "Request id: {request_id}",
    "error.back": "Back to the console",
    "error.400": "The request is not valid",
    "error.403": "You may not do this",
    "error.404": "This page does not exist",
    "error.405": "This address does not support the request",
    "error.413": "The form is too large",
    "error.415": "The form has the wrong format",
    "error.421": "This is not the address of the console",
    "error.422": "The request is not valid",
    "error.429": "Too many requests",
    "error.500": "An unexpected error occurred",
    "error.503": "The console is unavailable at the moment",
    "error.other": "The request was not successful",
    "error.sign_in": "You are not signed in",
    "error.sign_in_detail": "The sign-in could not be completed. Start it again.",
    "error.unknown_user_detail": (
        "Your account is not known here. An administrator of your organisation can add your email address."
    ),
    "error.cross_site_detail": "The request came from another site, or its form is out of date. Open the page again.",
}


def text(key: str, **values: str) -> str:
    """Return a text with its values. Templates escape the result, so values need not be trusted."""
    return TEXTS[key].format(**values)
