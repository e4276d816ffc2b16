# SPDX-License-Identifier: GPL-3.0-or-later
"""Who calls, and what they may do: service accounts, keys, tokens; policies, roles; enabled APIs.

The assembly makes one::

    accounts = ServiceAccounts(store, clock)
    tokens = Tokens(Signers.kept_in(settings.state_dir / "keys", clock), accounts, clock)
    authenticator = TokenAuthenticator(accounts, tokens, clock)
    usage = ServiceUsage(store, ServiceCatalogue(), clock)
    iam = Iam(store, accounts, ProjectNames(store, numbers), clock, rules)
    authorizer = Admission(ServiceActivation(store, usage, iam), iam.authorizer)
    ensure_owner(accounts, settings.project, settings.credentials, owner=(uid, gid))

`clock` returns seconds since the epoch; `tokens` is what the cloud issues tokens to instances with;
`rules` are what each API asks of its callers.
"""
