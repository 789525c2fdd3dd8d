#include "codec/sshsig.h"

#include "codec/base64.h"
#include "codec/bin.h"
#include "codec/utf8.h"

#define MAGIC "SSHSIG"
#define MAGIC_LEN 6
#define BEGIN_LINE "-----BEGIN SSH SIGNATURE-----\n"
#define END_LINE "-----END SSH SIGNATURE-----"
#define ARMOR_LINE_MAX 76

static lh_err malformed(const char *why)
{
    return LH_REFUSE(LH_E_INVALID, "sshsig", "not an SSH signature: %s", why);
}

static bool skip(lh_bytes *text, const char *word)
{
    size_t len = strlen(word);
    if (text->len < len || memcmp(text->data, word, len) != 0)
        return false;
    *text = LH_BYTES(text->data + len, text->len - len);
    return true;
}

/* The base64 lines up to the end marker, joined into out. */
static lh_err read_armor_lines(lh_bytes *text, lh_buf *out)
{
    while (text->len > 0 && text->data[0] != '-') {
        const uint8_t *end = memchr(text->data, '\n', text->len);
        if (!end)
            return malformed("a line does not end");
        size_t len = (size_t)(end - text->data);
        if (len == 0 || len > ARMOR_LINE_MAX)
            return malformed("an empty line, or one that is too long");
        lh_buf_append(out, text->data, len);
        *text = LH_BYTES(end + 1, text->len - len - 1);
    }
    return lh_buf_status(out);
}

static lh_err read_signature(lh_bytes raw, lh_sshsig *ret)
{
    lh_sshsig sig = {0};
    char hash[LH_SSH_KEY_TYPE_MAX + 1] = "";
    lh_reader r = lh_reader_new(raw);
    lh_bytes magic = lh_read_raw(&r, MAGIC_LEN);
    if (r.bad || memcmp(magic.data, MAGIC, MAGIC_LEN) != 0)
        return malformed("it does not begin with SSHSIG");
    uint32_t version = lh_read_u32(&r);
    if (!r.bad && version != 1)
        return LH_REFUSE(
            LH_E_UNSUPPORTED, "sshsig-version", "an SSH signature of version %u, not 1", version);
    sig.public_key = lh_read_blob(&r, LH_LIMIT_PUBLIC_KEY);
    lh_read_str(&r, sig.namespace, sizeof sig.namespace);
    lh_bytes reserved = lh_read_blob(&r, 0);
    lh_read_str(&r, hash, sizeof hash);
    sig.signature = lh_read_blob(&r, LH_LIMIT_SIGNATURE);
    if (r.bad || r.left > 0 || reserved.len > 0)
        return malformed("its parts do not fit");
    if (sig.public_key.len == 0 || sig.signature.len == 0 || sig.namespace[0] == '\0')
        return malformed("a part of it is empty");
    if (strcmp(hash, "sha256") == 0)
        sig.hash = LH_SSHSIG_SHA256;
    else if (strcmp(hash, "sha512") == 0)
        sig.hash = LH_SSHSIG_SHA512;
    else
        return LH_REFUSE(
            LH_E_UNSUPPORTED, "sshsig-hash", "an SSH signature with a hash other than sha256 and sha512");
    *ret = sig;
    return LH_SUCCESS;
}

static void free_buf(lh_buf *buf)
{
    lh_buf_free(buf);
}

lh_err lh_sshsig_parse(lh_bytes armor, lh_buf *raw, lh_sshsig *ret)
{
    LH_AUTO(free_buf) lh_buf text = LH_BUF_INIT(LH_LIMIT_SIGNATURE);
    if (armor.len > LH_LIMIT_SIGNATURE)
        return LH_FAIL(
            LH_E_LIMIT, "an SSH signature of %zu bytes: at most %d", armor.len, LH_LIMIT_SIGNATURE);
    if (!skip(&armor, BEGIN_LINE))
        return malformed("the line BEGIN SSH SIGNATURE is missing");
    LH_TRY(read_armor_lines(&armor, &text));
    if (!skip(&armor, END_LINE))
        return malformed("the line END SSH SIGNATURE is missing");
    if (armor.len > 1 || (armor.len == 1 && armor.data[0] != '\n'))
        return malformed("something follows it");
    lh_buf_clear(raw);
    lh_err err = lh_base64_decode(lh_buf_bytes(&text), raw);
    if (err.code == LH_E_INVALID)
        return malformed("its base64 is wrong");
    LH_TRY(err);
    return read_signature(lh_buf_bytes(raw), ret);
}

lh_err lh_sshsig_signed_data(
    const char *namespace, enum lh_sshsig_hash hash, lh_bytes message_hash, lh_buf *out)
{
    if (message_hash.len != (hash == LH_SSHSIG_SHA256 ? 32 : 64))
        return LH_FAIL(
            LH_E_INVALID, "a message hash of %zu bytes does not fit its algorithm", message_hash.len);
    lh_put_raw(out, MAGIC, MAGIC_LEN);
    lh_put_str(out, namespace);
    lh_put_str(out, "");
    lh_put_str(out, hash == LH_SSHSIG_SHA256 ? "sha256" : "sha512");
    lh_put_blob(out, message_hash);
    return lh_buf_status(out);
}

static lh_err bad_line(const char *why)
{
    return LH_REFUSE(LH_E_INVALID, "pubkey-line",
        "not an OpenSSH public key (%s): expected one line as in a file that ends with .pub", why);
}

lh_err lh_pubkey_blob_type(lh_bytes blob, char out[LH_SSH_KEY_TYPE_MAX + 1])
{
    char type[LH_SSH_KEY_TYPE_MAX + 1] = "";
    lh_reader r = lh_reader_new(blob);
    lh_read_str(&r, type, sizeof type);
    if (r.bad || type[0] == '\0')
        return bad_line("the key names no type");
    for (const char *c = type; *c; c++)
        if (*c <= ' ' || *c > '~')
            return bad_line("the key's type is not a word");
    memcpy(out, type, sizeof type);
    return LH_SUCCESS;
}

/* Up to the next space or the end; what follows the space stays in text. */
static lh_bytes next_word(lh_bytes *text)
{
    const uint8_t *space = text->len > 0 ? memchr(text->data, ' ', text->len) : NULL;
    lh_bytes word = *text;
    if (space) {
        word.len = (size_t)(space - text->data);
        *text = LH_BYTES(space + 1, text->len - word.len - 1);
    } else {
        *text = LH_BYTES_NONE;
    }
    return word;
}

/* Cut at LH_LIMIT_NAME bytes, between characters. */
static lh_err read_comment(lh_bytes text, char out[LH_LIMIT_NAME + 1])
{
    size_t len = 0;
    while (text.len > 0) {
        uint32_t code = 0;
        size_t n = lh_utf8_next(text, &code);
        if (n == 0 || lh_utf8_rune(code) != LH_RUNE_VISIBLE)
            return bad_line("its comment has characters that cannot be shown");
        if (len + n <= LH_LIMIT_NAME) {
            memcpy(out + len, text.data, n);
            len += n;
        } else {
            len = LH_LIMIT_NAME; /* nothing shorter slips in behind the cut */
        }
        text = LH_BYTES(text.data + n, text.len - n);
    }
    return LH_SUCCESS;
}

lh_err lh_pubkey_line_parse(lh_bytes line, lh_buf *raw, lh_pubkey_line *ret)
{
    lh_pubkey_line key = {0};
    if (line.len > LH_LIMIT_PUBLIC_KEY)
        return LH_FAIL(
            LH_E_LIMIT, "a public key line of %zu bytes: at most %d", line.len, LH_LIMIT_PUBLIC_KEY);
    if (line.len > 0 && line.data[line.len - 1] == '\n')
        line.len--;
    lh_bytes type = next_word(&line);
    lh_bytes base64 = next_word(&line);
    if (type.len == 0 || base64.len == 0)
        return bad_line("a type and a key are needed");
    lh_buf_clear(raw);
    lh_err err = lh_base64_decode(base64, raw);
    if (err.code == LH_E_INVALID)
        return bad_line("the key is not base64");
    LH_TRY(err);
    key.blob = lh_buf_bytes(raw);
    LH_TRY(lh_pubkey_blob_type(key.blob, key.type));
    if (!lh_bytes_equal(type, LH_BYTES_STR(key.type)))
        return bad_line("the key is of another type than the line says");
    LH_TRY(read_comment(line, key.comment));
    *ret = key;
    return LH_SUCCESS;
}

lh_err lh_pubkey_format(lh_bytes blob, lh_buf *out)
{
    char type[LH_SSH_KEY_TYPE_MAX + 1];
    LH_TRY(lh_pubkey_blob_type(blob, type));
    lh_buf_append_str(out, type);
    lh_buf_append(out, " ", 1);
    lh_base64_encode(blob, out);
    return lh_buf_status(out);
}
