# SPDX-License-Identifier: GPL-3.0-or-later
"""Cloud Storage: buckets and objects (JSON API v1), on the same engine as Compute Engine.

Documents in the store:

    buckets/<bucket>                             in API form, with `projectNumber`
    buckets/<bucket>/objects/<quoted name>       the live version of an object
    buckets/<bucket>/generations/<quoted name>#<generation>   its noncurrent versions
    uploads/<upload id>                          a resumable upload
    rewrites/<rewrite token>                     a rewrite of several calls

Buckets and objects are kept in API form without links (those name the host that the client asked)
and without what a projection leaves out only when it is asked for. Keys that begin with `_` are the
sandbox's own and are never shown: `_content` of an object names the file with its bytes. Nothing is
kept of what is deleted or overwritten without versioning: there is no soft delete.

Bytes lie in files below `Settings.objects_dir`, mode 0600, each written, synced and renamed before
the document that names it is committed, and removed after the document is gone: see `blobs`.
"""
