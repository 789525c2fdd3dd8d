/* Keys of roles that cannot be derived from the parent's secret: RSA. Such a key is made once for a role, a
 * workload, a parent and its version, and kept as a record, sealed under what is derived from the parent's
 * secret for exactly that; nothing here ever deletes one. docs/decisions/0016-made-keys.md says why,
 * docs/format.md has the bytes.
 *
 * Errors of both: those of reading a record; LH_E_CORRUPT "key-altered" (the record does not open, or is
 * another key's). */
#ifndef LH_VAULT_MADE_KEY_H
#define LH_VAULT_MADE_KEY_H

#include "vault/internal.h"

/* The key, made now if there is none: whoever asks, and however many at once, is given the same. parent: its
 * secret, of the version in derivation. Computes for a second where it makes one, and blocks on the disk:
 * neither on a worker nor within a transaction. */
LH_MUST lh_err lh_made_key_get(
    lh_vault *v, const lh_derivation *derivation, const lh_secret *parent, lh_key **ret);
/* The key that was made: LH_E_NOT_FOUND "key-unmade" where none was. Any thread, the writer's too. */
LH_MUST lh_err lh_made_key_find(
    lh_vault *v, const lh_derivation *derivation, const lh_secret *parent, lh_key **ret);

#endif
