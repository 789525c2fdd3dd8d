#include "bundle.h"

#include "base/limits.h"
#include "codec/base64.h"
#include "output.h"

#include <inttypes.h>

#define SALT_SIZE 32
#define PLACE_SIZE 160

typedef struct {
    char *name;
    char *vkey;
    uint8_t public_key[65];
    lh_note_key key;
} verifier_key;

typedef struct {
    char *note;
    char *name;
} saved_note;

struct bundle {
    lh_crypto *crypto;
    lh_merkle_tree *tree;
    char *origin;
    uint64_t claimed_size;
    char *claimed_root;
    size_t n_keys;
    verifier_key keys[BUNDLE_KEYS_MAX];
    size_t n_notes;
    saved_note *notes;
    uint64_t matched; /* the longest checkpoint that fits the tree and is signed */
    json_t *problems;
    size_t problem_count;
};

lh_err bundle_new(lh_crypto *crypto, bundle **ret)
{
    LH_AUTO(bundle_freep) bundle *b = calloc(1, sizeof *b);
    if (b == NULL)
        return LH_RAISE(LH_E_NOMEM, 0);
    b->crypto = crypto;
    b->problems = json_array();
    if (b->problems == NULL)
        return LH_RAISE(LH_E_NOMEM, 0);
    LH_TRY(lh_merkle_tree_new(crypto, &b->tree));
    *ret = LH_TAKE(b);
    return LH_SUCCESS;
}

void bundle_clear_keys(bundle *b)
{
    for (size_t i = 0; i < b->n_keys; i++) {
        free(b->keys[i].name);
        free(b->keys[i].vkey);
    }
    b->n_keys = 0;
}

void bundle_free(bundle *b)
{
    if (b == NULL)
        return;
    bundle_clear_keys(b);
    for (size_t i = 0; i < b->n_notes; i++) {
        free(b->notes[i].note);
        free(b->notes[i].name);
    }
    free(b->notes);
    free(b->origin);
    free(b->claimed_root);
    lh_merkle_tree_free(b->tree);
    json_decref(b->problems);
    free(b);
}

lh_err bundle_add_problem(bundle *b, const char *place, const char *message)
{
    b->problem_count++;
    if (json_array_size(b->problems) >= BUNDLE_PROBLEMS_MAX)
        return LH_SUCCESS;
    json_t *problem = json_pack("{s:s,s:s}", "place", place, "message", message);
    if (problem == NULL || json_array_append_new(b->problems, problem) != 0)
        return LH_RAISE(LH_E_NOMEM, 0);
    return LH_SUCCESS;
}

static lh_err copy_string(const char *text, char **ret)
{
    char *copy = strdup(text);
    if (copy == NULL)
        return LH_RAISE(LH_E_NOMEM, 0);
    free(*ret);
    *ret = copy;
    return LH_SUCCESS;
}

lh_err bundle_set_head(bundle *b, const char *origin, uint64_t size, const char *root_hex)
{
    LH_TRY(copy_string(origin, &b->origin));
    b->claimed_size = size;
    return root_hex == NULL ? LH_SUCCESS : copy_string(root_hex, &b->claimed_root);
}

static lh_err entry_problem(bundle *b, uint64_t index, const char *message)
{
    char place[PLACE_SIZE];
    (void)snprintf(place, sizeof place, "log entry %" PRIu64, index);
    return bundle_add_problem(b, place, message);
}

lh_err bundle_add_entry(
    bundle *b, uint64_t index, const char *salt_hex, const char *entry, const char *leaf_hex)
{
    uint64_t expected = lh_merkle_tree_size(b->tree);
    if (index != expected) {
        char message[128];
        (void)snprintf(message, sizeof message,
            "out of order, or entries are missing before it: %" PRIu64 " was expected", expected);
        LH_TRY(entry_problem(b, index, message));
    }
    uint8_t salt[SALT_SIZE];
    uint8_t leaf[LH_MERKLE_HASH_SIZE];
    if (!lh_ok(lh_unhex(salt_hex, salt, sizeof salt)))
        return entry_problem(b, index, "its salt is not 32 bytes in hexadecimal");
    const lh_bytes parts[] = {LH_BYTES(salt, sizeof salt), LH_BYTES_STR(entry)};
    LH_TRY(lh_merkle_leaf(b->crypto, parts, LH_ARRAY_LEN(parts), leaf));
    char hex[2 * LH_MERKLE_HASH_SIZE + 1];
    lh_hex(leaf, sizeof leaf, hex);
    if (leaf_hex != NULL && strcmp(hex, leaf_hex) != 0)
        LH_TRY(entry_problem(b, index, "entry and salt do not give the leaf hash that the log holds for it"));
    return lh_merkle_tree_append(b->tree, leaf);
}

lh_err bundle_add_checkpoint(bundle *b, const char *note, const char *name)
{
    saved_note *grown = realloc(b->notes, (b->n_notes + 1) * sizeof *grown);
    if (grown == NULL)
        return LH_RAISE(LH_E_NOMEM, 0);
    b->notes = grown;
    b->notes[b->n_notes] = (saved_note){strdup(note), strdup(name)};
    saved_note *added = &b->notes[b->n_notes++];
    if (added->note == NULL || added->name == NULL)
        return LH_RAISE(LH_E_NOMEM, 0);
    return LH_SUCCESS;
}

static lh_err bad_key(const char *vkey)
{
    return LH_REFUSE(
        LH_E_INVALID, "verifier-key", "\"%.80s\" is no verifier key: expected NAME+ID+BASE64", vkey);
}

/* Algorithm and raw key from the decoded last part: an ECDSA key is the end of its SubjectPublicKeyInfo. */
static bool split_key(lh_bytes decoded, verifier_key *key)
{
    if (decoded.len == 33 && decoded.data[0] == LH_NOTE_ED25519) {
        memcpy(key->public_key, decoded.data + 1, 32);
        key->key = (lh_note_key){key->name, LH_NOTE_ED25519, LH_BYTES(key->public_key, 32)};
        return true;
    }
    if (decoded.len >= 66 && decoded.data[0] == LH_NOTE_ECDSA_P256) {
        memcpy(key->public_key, decoded.data + decoded.len - 65, 65);
        key->key = (lh_note_key){key->name, LH_NOTE_ECDSA_P256, LH_BYTES(key->public_key, 65)};
        return true;
    }
    return false;
}

lh_err bundle_add_key(bundle *b, const char *vkey)
{
    if (b->n_keys == BUNDLE_KEYS_MAX)
        return LH_FAIL(LH_E_LIMIT, "more than %d verifier keys", BUNDLE_KEYS_MAX);
    const char *id = strchr(vkey, '+');
    const char *base64 = id == NULL ? NULL : strchr(id + 1, '+');
    if (base64 == NULL)
        return bad_key(vkey);
    LH_AUTO(lh_buf_free) lh_buf decoded = LH_BUF_INIT(1024);
    if (!lh_ok(lh_base64_decode(LH_BYTES_STR(base64 + 1), &decoded)))
        return bad_key(vkey);
    verifier_key *key = &b->keys[b->n_keys];
    *key = (verifier_key){.name = strndup(vkey, (size_t)(id - vkey)), .vkey = strdup(vkey)};
    b->n_keys++; /* from here on it is freed with the bundle */
    if (key->name == NULL || key->vkey == NULL)
        return LH_RAISE(LH_E_NOMEM, 0);
    /* Writing it again must give the same text: id, key and encoding belong together. */
    LH_AUTO(lh_buf_free) lh_buf again = LH_BUF_INIT(2048);
    bool good = split_key(lh_buf_bytes(&decoded), key) &&
                lh_ok(lh_note_key_text(b->crypto, &key->key, &again)) &&
                lh_bytes_equal(lh_buf_bytes(&again), LH_BYTES_STR(vkey));
    return good ? LH_SUCCESS : bad_key(vkey);
}

/* All keys of the bundle must have signed: each line is another promise (C2SP's tools, the TPM). */
static lh_err check_signatures(bundle *b, const lh_checkpoint_note *note, const char *name, bool *good)
{
    for (size_t i = 0; i < b->n_keys; i++) {
        const lh_note_key *key = &b->keys[i].key;
        if (lh_ok(lh_checkpoint_verify(b->crypto, note, key)))
            continue;
        *good = false;
        char message[128];
        (void)snprintf(message, sizeof message, "its %s signature is missing or does not verify",
            key->algorithm == LH_NOTE_ED25519 ? "Ed25519" : "ECDSA P-256");
        LH_TRY(bundle_add_problem(b, name, message));
    }
    if (b->n_keys > 0)
        return LH_SUCCESS;
    *good = false;
    return bundle_add_problem(b, name, "there is no key to verify its signatures with");
}

static lh_err check_root(bundle *b, const lh_checkpoint *checkpoint, const char *name, bool *good)
{
    char message[256];
    uint64_t size = lh_merkle_tree_size(b->tree);
    if (checkpoint->size > size) {
        *good = false;
        (void)snprintf(message, sizeof message,
            "it covers %" PRIu64 " entries, the log has %" PRIu64 ": its end was cut off", checkpoint->size,
            size);
        return bundle_add_problem(b, name, message);
    }
    uint8_t root[LH_MERKLE_HASH_SIZE];
    LH_TRY(lh_merkle_tree_root(b->tree, checkpoint->size, root));
    if (memcmp(root, checkpoint->root, sizeof root) == 0)
        return LH_SUCCESS;
    *good = false;
    (void)snprintf(message, sizeof message,
        "its root is not that of the first %" PRIu64 " entries: one of them, from %" PRIu64
        " on, is not what it was when the checkpoint was made",
        checkpoint->size, b->matched < checkpoint->size ? b->matched : 0);
    return bundle_add_problem(b, name, message);
}

static lh_err check_note(bundle *b, const saved_note *saved)
{
    lh_checkpoint_note note;
    if (!lh_ok(lh_checkpoint_parse(LH_BYTES_STR(saved->note), &note)))
        return bundle_add_problem(b, saved->name, "it is no checkpoint");
    bool good = true;
    if (b->origin != NULL && !lh_bytes_equal(note.checkpoint.origin, LH_BYTES_STR(b->origin))) {
        good = false;
        LH_TRY(bundle_add_problem(b, saved->name, "it is a checkpoint of another log (its origin differs)"));
    }
    LH_TRY(check_root(b, &note.checkpoint, saved->name, &good));
    LH_TRY(check_signatures(b, &note, saved->name, &good));
    if (good && note.checkpoint.size > b->matched)
        b->matched = note.checkpoint.size;
    return LH_SUCCESS;
}

static lh_err check_head(bundle *b)
{
    uint64_t size = lh_merkle_tree_size(b->tree);
    char message[256];
    if (size != b->claimed_size) {
        (void)snprintf(message, sizeof message, "it says it has %" PRIu64 " entries, %" PRIu64 " were found",
            b->claimed_size, size);
        LH_TRY(bundle_add_problem(b, "log", message));
    }
    uint8_t root[LH_MERKLE_HASH_SIZE];
    char hex[2 * LH_MERKLE_HASH_SIZE + 1];
    LH_TRY(lh_merkle_tree_root(b->tree, size, root));
    lh_hex(root, sizeof root, hex);
    if (b->claimed_root != NULL && strcmp(hex, b->claimed_root) != 0)
        LH_TRY(bundle_add_problem(b, "log", "its entries do not give the root that it says it has"));
    if (b->n_notes == 0 && size > 0)
        LH_TRY(bundle_add_problem(b, "log", "there is no checkpoint to verify it against"));
    return LH_SUCCESS;
}

lh_err bundle_verify(bundle *b, bool all_covered)
{
    LH_TRY(check_head(b));
    for (size_t i = 0; i < b->n_notes; i++)
        LH_TRY(check_note(b, &b->notes[i]));
    uint64_t size = lh_merkle_tree_size(b->tree);
    if (!all_covered || b->matched >= size || b->n_notes == 0)
        return LH_SUCCESS;
    char message[160];
    (void)snprintf(message, sizeof message,
        "its entries from %" PRIu64 " on are under no checkpoint that verifies: anybody can have added them",
        b->matched);
    return bundle_add_problem(b, "log", message);
}

bool bundle_good(const bundle *b)
{
    return b->problem_count == 0;
}

lh_err bundle_report(const bundle *b, json_t **ret)
{
    uint8_t root[LH_MERKLE_HASH_SIZE];
    char hex[2 * LH_MERKLE_HASH_SIZE + 1];
    uint64_t size = lh_merkle_tree_size(b->tree);
    LH_TRY(lh_merkle_tree_root(b->tree, size, root));
    lh_hex(root, sizeof root, hex);
    json_t *report = json_pack("{s:b,s:I,s:s,s:I,s:I,s:O}", "good", bundle_good(b), "size", (json_int_t)size,
        "root", hex, "checkpointed", (json_int_t)b->matched, "problem_count", (json_int_t)b->problem_count,
        "problems", b->problems);
    if (report == NULL)
        return LH_RAISE(LH_E_NOMEM, 0);
    *ret = report;
    return LH_SUCCESS;
}
