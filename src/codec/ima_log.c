/* Reader of the binary IMA measurement list. */
#include "codec/ima_log.h"

#include "base/limits.h"
#include "codec/little.h"

#define IMA_PCR 10u

#define BAD(...) LH_REFUSE(LH_E_CORRUPT, "ima-format", __VA_ARGS__)

static const struct {
    const char *name;
    bool typed;           /* d-ngv2: the digest says what it is of */
    unsigned more_fields; /* after the digest and the path */
} templates[] = {
    {"ima-ng", false, 0},
    {"ima-sig", false, 1},
    {"ima-ngv2", true, 0},
    {"ima-sigv2", true, 1},
    {"ima-buf", false, 1},
    {"ima-modsig", false, 3},
    {"evm-sig", false, 7},
};

static bool span_is(lh_bytes span, const char *s)
{
    return lh_bytes_equal(span, LH_BYTES_STR(s));
}

/* Everything before the first ':' at *at, which is taken off with it. */
static bool take_word(lh_bytes *at, lh_bytes *ret)
{
    const uint8_t *colon = at->len > 0 ? memchr(at->data, ':', at->len) : NULL;
    if (!colon)
        return false;
    size_t len = (size_t)(colon - at->data);
    *ret = LH_BYTES(at->data, len);
    *at = LH_BYTES(colon + 1, at->len - len - 1);
    return true;
}

/* d-ng: algorithm ‖ ":" ‖ NUL ‖ digest; d-ngv2: type ‖ ":" before it. */
static bool read_digest(lh_bytes field, bool typed, lh_ima_entry *entry)
{
    if (typed) {
        lh_bytes type;
        if (!take_word(&field, &type))
            return false;
        entry->verity = span_is(type, "verity");
        if (!entry->verity && !span_is(type, "ima"))
            return false;
    }
    if (!take_word(&field, &entry->algorithm) || entry->algorithm.len == 0)
        return false;
    if (field.len < 1 || field.data[0] != 0 || field.len - 1 > LH_IMA_DIGEST_MAX)
        return false;
    entry->digest = LH_BYTES(field.data + 1, field.len - 1);
    return true;
}

/* n-ng: a path and its NUL. */
static bool read_path(lh_bytes field, lh_ima_entry *entry)
{
    if (field.len < 1 || field.len > LH_IMA_PATH_MAX ||
        memchr(field.data, 0, field.len) != field.data + field.len - 1)
        return false;
    entry->path = (const char *)field.data;
    return true;
}

static lh_bytes read_field(lh_reader *r)
{
    return lh_read_raw(r, lh_read_le32(r));
}

static lh_err read_template(lh_ima_entry *entry)
{
    size_t t = 0;
    while (t < LH_ARRAY_LEN(templates) && !span_is(entry->template_name, templates[t].name))
        t++;
    if (t == LH_ARRAY_LEN(templates))
        return LH_REFUSE(LH_E_CORRUPT, "ima-template",
            "the IMA log has an entry of a template that is not taken; boot with ima_template=ima-ng");
    lh_reader r = lh_reader_new(entry->template_data);
    lh_bytes digest = read_field(&r), path = read_field(&r);
    for (unsigned i = 0; i < templates[t].more_fields; i++)
        (void)read_field(&r);
    if (r.bad || r.left != 0)
        return BAD("an IMA entry's fields do not fill its template data");
    if (!read_digest(digest, templates[t].typed, entry) || !read_path(path, entry))
        return BAD("an IMA entry's digest or path is malformed");
    return LH_SUCCESS;
}

lh_err lh_ima_log_next(lh_bytes *rest, lh_ima_entry *ret, bool *ret_more)
{
    lh_reader r = lh_reader_new(*rest);
    lh_ima_entry entry = {0};
    *ret_more = false;
    uint32_t pcr = lh_read_le32(&r);
    lh_bytes sha1 = lh_read_raw(&r, LH_IMA_TEMPLATE_SHA1);
    uint32_t size = lh_read_le32(&r);
    if (!r.bad && (size == 0 || size > LH_IMA_NAME_MAX))
        return BAD("an IMA entry's template name has %u bytes", size);
    entry.template_name = lh_read_raw(&r, size);
    if (!r.bad && span_is(entry.template_name, "ima")) /* its data has no size of its own */
        return LH_REFUSE(LH_E_CORRUPT, "ima-template",
            "the IMA log is of template \"ima\", whose file digests are SHA-1; boot with "
            "ima_template=ima-ng");
    size = lh_read_le32(&r);
    if (!r.bad && size > LH_LIMIT_IMA_DATA)
        return BAD("an IMA entry has %u bytes of template data; %d are taken", size, LH_LIMIT_IMA_DATA);
    entry.template_data = lh_read_raw(&r, size);
    if (r.bad)
        return LH_SUCCESS;
    if (pcr != IMA_PCR)
        return LH_REFUSE(LH_E_CORRUPT, "ima-pcr", "the IMA log has an entry for PCR %u", pcr);
    LH_TRY(read_template(&entry));
    entry.violation = true;
    for (size_t i = 0; i < sha1.len; i++)
        entry.violation = entry.violation && sha1.data[i] == 0;
    *rest = LH_BYTES(r.at, r.left);
    *ret = entry;
    *ret_more = true;
    return LH_SUCCESS;
}
