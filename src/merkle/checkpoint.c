/* Signed notes of checkpoints: built, parsed strictly, verified. */
#include "merkle/checkpoint.h"

#include "base/macro.h"
#include "codec/base64.h"
#include "codec/utf8.h"
#include "crypto/hash.h"
#include "crypto/sign.h"

#define EM_DASH "\xe2\x80\x94" /* U+2014, which begins a signature line */
#define KEY_ID_SIZE 4
#define SPKI_MAX 128

static lh_err refuse_note(const char *why)
{
    return LH_REFUSE(LH_E_CORRUPT, "checkpoint", "not a checkpoint: %s", why);
}

static lh_err refuse_build(const char *why)
{
    return LH_REFUSE(LH_E_INVALID, "checkpoint", "no checkpoint can be made: %s", why);
}

static bool has_control(lh_bytes text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] < 0x20 && text.data[i] != '\n')
            return true;
    return false;
}

/* One line's worth of text: not empty, UTF-8, no control characters. */
static bool good_line(lh_bytes line)
{
    return line.len > 0 && !memchr(line.data, '\n', line.len) && !has_control(line) && lh_utf8_valid(line);
}

static bool good_origin(lh_bytes origin)
{
    return origin.len <= LH_CHECKPOINT_ORIGIN_MAX && good_line(origin);
}

/* A key's name: what is visible, without spaces (of any kind) and plus. */
static bool good_name(lh_bytes name)
{
    if (name.len == 0 || name.len > LH_CHECKPOINT_ORIGIN_MAX)
        return false;
    while (name.len > 0) {
        uint32_t c = 0;
        size_t len = lh_utf8_next(name, &c);
        if (len == 0 || c == ' ' || c == '+' || lh_utf8_rune(c) != LH_RUNE_VISIBLE)
            return false;
        name = LH_BYTES(name.data + len, name.len - len);
    }
    return true;
}

static lh_err check_key(const lh_note_key *key)
{
    if (!good_name(LH_BYTES_STR(key->name)))
        return refuse_build("a key's name with spaces, plus or control characters, empty or too long");
    size_t want = key->algorithm == LH_NOTE_ED25519      ? LH_ED25519_PUBLIC_SIZE
                  : key->algorithm == LH_NOTE_ECDSA_P256 ? LH_P256_POINT_SIZE
                                                         : 0;
    if (want == 0 || key->public_key.len != want)
        return refuse_build("a key whose algorithm or length is none of a note's");
    return LH_SUCCESS;
}

/* The key as it stands behind its type in ids and configured verifiers: 32 bytes, or a SubjectPublicKeyInfo.
 */
static lh_err key_encode(lh_crypto *c, const lh_note_key *key, lh_buf *out)
{
    LH_TRY(check_key(key));
    if (key->algorithm == LH_NOTE_ECDSA_P256)
        return lh_p256_spki(c, key->public_key.data, out);
    lh_buf_append(out, key->public_key.data, key->public_key.len);
    return lh_buf_status(out);
}

lh_err lh_note_key_id(lh_crypto *c, const lh_note_key *key, uint8_t out[4])
{
    LH_AUTO(lh_buf_free) lh_buf encoded = LH_BUF_INIT(SPKI_MAX);
    LH_TRY(key_encode(c, key, &encoded));
    uint8_t algorithm = (uint8_t)key->algorithm;
    /* ECDSA's id is over its SubjectPublicKeyInfo alone. */
    const lh_bytes parts[] = {
        LH_BYTES_STR(key->name), LH_BYTES_STR("\n"), LH_BYTES(&algorithm, 1), lh_buf_bytes(&encoded)};
    size_t skip = key->algorithm == LH_NOTE_ECDSA_P256 ? 3 : 0;
    uint8_t hash[LH_SHA256_SIZE];
    LH_TRY(lh_sha256(c, parts + skip, LH_ARRAY_LEN(parts) - skip, hash));
    memcpy(out, hash, KEY_ID_SIZE);
    return LH_SUCCESS;
}

lh_err lh_note_key_text(lh_crypto *c, const lh_note_key *key, lh_buf *out)
{
    uint8_t id[KEY_ID_SIZE];
    LH_TRY(lh_note_key_id(c, key, id));
    LH_AUTO(lh_buf_free) lh_buf encoded = LH_BUF_INIT(1 + SPKI_MAX);
    uint8_t algorithm = (uint8_t)key->algorithm;
    lh_buf_append(&encoded, &algorithm, 1);
    LH_TRY(key_encode(c, key, &encoded));
    char hex[2 * KEY_ID_SIZE + 1];
    lh_hex(id, sizeof(id), hex);
    lh_buf_printf(out, "%s+%s+", key->name, hex);
    lh_base64_encode(lh_buf_bytes(&encoded), out);
    return lh_buf_status(out);
}

/* Verify a signature as it stands behind the key id on a line. */
static lh_err verify_raw(lh_crypto *c, const lh_note_key *key, lh_bytes text, lh_bytes signature)
{
    lh_err err = LH_FAIL(LH_E_SIGNATURE, "a signature of %zu bytes", signature.len);
    if (key->algorithm == LH_NOTE_ED25519) {
        if (signature.len == LH_ED25519_SIGNATURE_SIZE)
            err = lh_ed25519_verify(c, key->public_key.data, text, signature.data);
    } else {
        uint8_t raw[LH_P256_SIGNATURE_SIZE];
        uint8_t digest[LH_SHA256_SIZE];
        err = lh_p256_signature_from_der(signature, raw);
        if (lh_ok(err))
            err = lh_sha256(c, &text, 1, digest);
        if (lh_ok(err))
            err = lh_p256_verify(c, key->public_key.data, LH_BYTES(digest, sizeof(digest)), raw);
    }
    if (err.code == LH_E_SIGNATURE)
        return LH_REFUSE(
            LH_E_SIGNATURE, "checkpoint-signature", "the signature of %s does not verify", key->name);
    return err;
}

static lh_err append_signature(lh_crypto *c, const lh_note_signer *signer, lh_bytes text, lh_buf *out)
{
    LH_AUTO(lh_buf_free) lh_buf line = LH_BUF_INIT(KEY_ID_SIZE + LH_P256_DER_MAX);
    uint8_t id[KEY_ID_SIZE];
    uint8_t raw[64];
    LH_TRY(lh_note_key_id(c, &signer->key, id));
    lh_buf_append(&line, id, sizeof(id));
    if (signer->key.algorithm == LH_NOTE_ED25519) {
        LH_TRY(signer->sign(signer->arg, text, raw));
        lh_buf_append(&line, raw, sizeof(raw));
    } else {
        uint8_t digest[LH_SHA256_SIZE];
        LH_TRY(lh_sha256(c, &text, 1, digest));
        LH_TRY(signer->sign(signer->arg, LH_BYTES(digest, sizeof(digest)), raw));
        LH_TRY(lh_p256_signature_to_der(raw, &line));
    }
    LH_TRY(lh_buf_status(&line));
    LH_TRY(verify_raw(c, &signer->key, text, LH_BYTES(line.data + KEY_ID_SIZE, line.len - KEY_ID_SIZE)));
    lh_buf_printf(out, EM_DASH " %s ", signer->key.name);
    lh_base64_encode(lh_buf_bytes(&line), out);
    lh_buf_append_str(out, "\n");
    return lh_buf_status(out);
}

/* Zero or more lines that are not empty, each ended. */
static bool good_extension(lh_bytes extension)
{
    while (extension.len > 0) {
        const uint8_t *end = memchr(extension.data, '\n', extension.len);
        if (!end || !good_line(LH_BYTES(extension.data, (size_t)(end - extension.data))))
            return false;
        extension = LH_BYTES(end + 1, extension.len - (size_t)(end + 1 - extension.data));
    }
    return true;
}

lh_err lh_checkpoint_build(
    lh_crypto *c, const lh_checkpoint *checkpoint, const lh_note_signer *signers, size_t n, lh_buf *ret_note)
{
    if (!good_origin(checkpoint->origin) || !good_extension(checkpoint->extension))
        return refuse_build("its origin or extension cannot stand in one");
    if (n == 0 || n > LH_CHECKPOINT_SIGNATURES_MAX)
        return refuse_build("it has 1 to 32 signers");
    LH_AUTO(lh_buf_free) lh_buf note = LH_BUF_INIT(LH_CHECKPOINT_MAX);
    lh_buf_append(&note, checkpoint->origin.data, checkpoint->origin.len);
    lh_buf_printf(&note, "\n%llu\n", (unsigned long long)checkpoint->size);
    lh_base64_encode(LH_BYTES(checkpoint->root, LH_MERKLE_HASH_SIZE), &note);
    lh_buf_append_str(&note, "\n");
    if (checkpoint->extension.len > 0)
        lh_buf_append(&note, checkpoint->extension.data, checkpoint->extension.len);
    LH_TRY(lh_buf_status(&note));
    LH_AUTO(lh_buf_free) lh_buf lines = LH_BUF_INIT(LH_CHECKPOINT_MAX);
    for (size_t i = 0; i < n; i++)
        LH_TRY(append_signature(c, &signers[i], lh_buf_bytes(&note), &lines));
    lh_buf_append_str(&note, "\n");
    lh_buf_append(&note, lines.data, lines.len);
    LH_TRY(lh_buf_status(&note));
    lh_buf_append(ret_note, note.data, note.len);
    return lh_buf_status(ret_note);
}

/* The next line of *at without its newline; false where there is no ended line. */
static bool take_line(lh_bytes *at, lh_bytes *ret)
{
    const uint8_t *end = at->len > 0 ? memchr(at->data, '\n', at->len) : NULL;
    if (!end)
        return false;
    size_t len = (size_t)(end - at->data);
    *ret = LH_BYTES(at->data, len);
    *at = LH_BYTES(end + 1, at->len - len - 1);
    return true;
}

static bool parse_size(lh_bytes line, uint64_t *ret)
{
    if (line.len == 0 || line.len > 20 || (line.data[0] == '0' && line.len > 1))
        return false;
    uint64_t size = 0;
    for (size_t i = 0; i < line.len; i++) {
        if (line.data[i] < '0' || line.data[i] > '9' || __builtin_mul_overflow(size, 10u, &size) ||
            __builtin_add_overflow(size, (uint64_t)(line.data[i] - '0'), &size))
            return false;
    }
    *ret = size;
    return true;
}

static bool parse_root(lh_bytes line, uint8_t out[LH_MERKLE_HASH_SIZE])
{
    LH_AUTO(lh_buf_free) lh_buf root = LH_BUF_INIT(LH_MERKLE_HASH_SIZE);
    if (!lh_ok(lh_base64_decode(line, &root)) || root.len != LH_MERKLE_HASH_SIZE)
        return false;
    memcpy(out, root.data, LH_MERKLE_HASH_SIZE);
    return true;
}

static lh_err parse_text(lh_bytes text, lh_checkpoint *ret)
{
    lh_bytes size = LH_BYTES_NONE;
    lh_bytes root = LH_BYTES_NONE;
    if (!take_line(&text, &ret->origin) || !good_origin(ret->origin))
        return refuse_note("it has no origin");
    if (!take_line(&text, &size) || !parse_size(size, &ret->size))
        return refuse_note("its second line is not a tree size");
    if (!take_line(&text, &root) || !parse_root(root, ret->root))
        return refuse_note("its third line is not a root hash");
    if (!good_extension(text))
        return refuse_note("its further lines are malformed");
    ret->extension = text;
    return LH_SUCCESS;
}

/* "— name base64": *ret borrows. */
static bool parse_signature(lh_bytes line, lh_note_signature *ret)
{
    const size_t prefix = sizeof(EM_DASH " ") - 1;
    if (line.len <= prefix || memcmp(line.data, EM_DASH " ", prefix) != 0)
        return false;
    line = LH_BYTES(line.data + prefix, line.len - prefix);
    const uint8_t *space = memchr(line.data, ' ', line.len);
    if (!space)
        return false;
    size_t name_len = (size_t)(space - line.data);
    ret->name = LH_BYTES(line.data, name_len);
    ret->base64 = LH_BYTES(space + 1, line.len - name_len - 1);
    LH_AUTO(lh_buf_free) lh_buf raw = LH_BUF_INIT(LH_NOTE_SIGNATURE_MAX);
    return good_name(ret->name) && lh_ok(lh_base64_decode(ret->base64, &raw)) && raw.len > KEY_ID_SIZE;
}

lh_err lh_checkpoint_parse(lh_bytes note, lh_checkpoint_note *ret)
{
    if (note.len > LH_CHECKPOINT_MAX)
        return refuse_note("it is too long");
    if (has_control(note) || (note.len > 0 && !lh_utf8_valid(note)))
        return refuse_note("it is not text");
    /* Neither part may hold an empty line, so the first one is the last one. */
    const uint8_t *blank = note.len > 0 ? memmem(note.data, note.len, "\n\n", 2) : NULL;
    if (!blank)
        return refuse_note("no blank line sets signatures apart");
    size_t text_len = (size_t)(blank + 1 - note.data);
    lh_checkpoint_note parsed = {.text = LH_BYTES(note.data, text_len)};
    LH_TRY(parse_text(parsed.text, &parsed.checkpoint));
    lh_bytes left = LH_BYTES(blank + 2, note.len - text_len - 1);
    while (left.len > 0) {
        lh_bytes line = LH_BYTES_NONE;
        if (parsed.signature_count == LH_CHECKPOINT_SIGNATURES_MAX)
            return refuse_note("it has too many signatures");
        if (!take_line(&left, &line) || !parse_signature(line, &parsed.signatures[parsed.signature_count]))
            return refuse_note("a signature line is malformed");
        parsed.signature_count++;
    }
    if (parsed.signature_count == 0)
        return refuse_note("it has no signatures");
    *ret = parsed;
    return LH_SUCCESS;
}

lh_err lh_checkpoint_verify(lh_crypto *c, const lh_checkpoint_note *note, const lh_note_key *key)
{
    uint8_t id[KEY_ID_SIZE];
    LH_TRY(lh_note_key_id(c, key, id));
    bool found = false;
    for (size_t i = 0; i < note->signature_count; i++) {
        const lh_note_signature *line = &note->signatures[i];
        if (!lh_bytes_equal(line->name, LH_BYTES_STR(key->name)))
            continue;
        LH_AUTO(lh_buf_free) lh_buf raw = LH_BUF_INIT(LH_NOTE_SIGNATURE_MAX);
        LH_TRY(lh_base64_decode(line->base64, &raw));
        if (raw.len <= KEY_ID_SIZE || memcmp(raw.data, id, KEY_ID_SIZE) != 0)
            continue;
        /* A line of this key that fails spoils the note, whatever else stands in it. */
        LH_TRY(verify_raw(c, key, note->text, LH_BYTES(raw.data + KEY_ID_SIZE, raw.len - KEY_ID_SIZE)));
        found = true;
    }
    if (!found)
        return LH_REFUSE(
            LH_E_SIGNATURE, "checkpoint-unsigned", "%s has not signed the checkpoint", key->name);
    return LH_SUCCESS;
}
