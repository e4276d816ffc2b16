# SPDX-License-Identifier: GPL-3.0-or-later
"""Who calls: service accounts, keys, tokens.

The daemon makes one::

    accounts = ServiceAccounts(store, clock)
    tokens = Tokens(Signers.kept_in(settings.state_dir / "identity", clock), accounts, clock)
    authenticator = TokenAuthenticator(accounts, tokens, clock)
    authorizer = ProjectAuthorizer(store, PUBLIC_PROJECTS)
    ensure_owner(accounts, settings.project, settings.credentials, owner=(uid, gid))

`clock` returns seconds since the epoch; `tokens` is what the cloud issues tokens to instances with.
"""
