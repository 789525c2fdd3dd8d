/* Templates and attributes between PKCS#11 and the wire. Nesting ones (CKA_WRAP_TEMPLATE …) hold arrays of
 * CK_ATTRIBUTE here and the same encoding once more there, at most LH_LIMIT_TEMPLATE_DEPTH deep.
 *
 * An application's template may be anything: each level's encoding is bounded by LH_WIRE_VALUE_MAX, which
 * bounds the work on templates that contain themselves. */
#include "token.h"

#include "p11/attribute.h"

static CK_RV put_template(const CK_ATTRIBUTE *template, CK_ULONG count, unsigned depth, lh_buf *out);

static CK_RV put_nested(const CK_ATTRIBUTE *a, unsigned depth, lh_buf *out)
{
    if (depth + 1 >= LH_LIMIT_TEMPLATE_DEPTH || a->ulValueLen % sizeof(CK_ATTRIBUTE) != 0)
        return CKR_ATTRIBUTE_VALUE_INVALID;
    LH_AUTO(lh_buf_free) lh_buf inner = LH_BUF_INIT(LH_WIRE_VALUE_MAX);
    CK_RV rv = put_template(a->pValue, a->ulValueLen / sizeof(CK_ATTRIBUTE), depth + 1, &inner);
    if (rv == CKR_OK)
        lh_wire_put_attribute(out, (uint32_t)a->type, 0, lh_buf_bytes(&inner));
    return rv == CKR_ARGUMENTS_BAD ? CKR_ATTRIBUTE_VALUE_INVALID : rv;
}

static CK_RV put_one(const CK_ATTRIBUTE *a, unsigned depth, lh_buf *out)
{
    if (a->type > UINT32_MAX)
        return CKR_ATTRIBUTE_TYPE_INVALID;
    if (a->ulValueLen > 0 && !a->pValue)
        return CKR_ARGUMENTS_BAD;
    enum lh_attribute_kind kind = lh_attribute_kind_of(a->type);
    if (kind == LH_VALUE_TEMPLATE)
        return put_nested(a, depth, out);
    if (a->ulValueLen > LH_WIRE_VALUE_MAX)
        return CKR_ATTRIBUTE_VALUE_INVALID;
    uint8_t *value = NULL;
    size_t len = lh_attribute_to_wire(kind, a->pValue, a->ulValueLen, NULL, 0);
    if (len == SIZE_MAX || len > LH_WIRE_VALUE_MAX)
        return CKR_ATTRIBUTE_VALUE_INVALID;
    lh_put_u32(out, (uint32_t)a->type);
    lh_put_u8(out, 0);
    lh_put_u32(out, (uint32_t)len);
    value = lh_buf_extend(out, len);
    if (value && len > 0)
        (void)lh_attribute_to_wire(kind, a->pValue, a->ulValueLen, value, len);
    return CKR_OK;
}

static CK_RV put_template(const CK_ATTRIBUTE *template, CK_ULONG count, unsigned depth, lh_buf *out)
{
    if (count > LH_TOKEN_TEMPLATE_MAX || (count > 0 && !template))
        return CKR_ARGUMENTS_BAD;
    for (CK_ULONG i = 0; i < count; i++) {
        CK_RV rv = put_one(&template[i], depth, out);
        if (rv != CKR_OK)
            return rv;
        if (out->status != LH_OK)
            return out->status == LH_E_LIMIT ? CKR_DEVICE_MEMORY : CKR_HOST_MEMORY;
    }
    return CKR_OK;
}

CK_RV lh_token_template(const CK_ATTRIBUTE *template, CK_ULONG count, lh_buf *out)
{
    return put_template(template, count, 0, out);
}

bool lh_token_template_token(const CK_ATTRIBUTE *template, CK_ULONG count, bool fallback)
{
    for (CK_ULONG i = 0; template && count <= LH_TOKEN_TEMPLATE_MAX && i < count; i++)
        if (template[i].type == CKA_TOKEN && template[i].pValue && template[i].ulValueLen == sizeof(CK_BBOOL))
            return *(const CK_BBOOL *)template[i].pValue != 0;
    return fallback;
}

/* --- values to applications (2.40 section 5.7, C_GetAttributeValue)
 * ------------------------------------------
 */

static CK_RV tell_at(CK_ATTRIBUTE *wanted, const lh_wire_attribute *a, unsigned depth);

/* How many attributes a nesting one holds; SIZE_MAX where it is malformed. */
static size_t count_nested(lh_bytes value)
{
    size_t n = 0;
    lh_reader r = lh_reader_new(value);
    lh_wire_attribute inner;
    while (lh_wire_next_attribute(&r, &inner))
        n++;
    return lh_ok(lh_read_done(&r, "a nested template")) && n <= LH_TOKEN_TEMPLATE_MAX ? n : SIZE_MAX;
}

/* The array itself, then each of its attributes: where their pValue is NULL, their lengths. *ret_whole: the
 * array was told, whatever became of its attributes. */
static CK_RV tell_nested(CK_ATTRIBUTE *wanted, lh_bytes value, unsigned depth, bool *ret_whole)
{
    size_t n = count_nested(value);
    if (n == SIZE_MAX || depth + 1 >= LH_LIMIT_TEMPLATE_DEPTH)
        return CKR_ATTRIBUTE_TYPE_INVALID;
    size_t need = n * sizeof(CK_ATTRIBUTE);
    if (wanted->pValue && wanted->ulValueLen < need)
        return CKR_BUFFER_TOO_SMALL;
    *ret_whole = true;
    wanted->ulValueLen = need;
    CK_ATTRIBUTE *out = wanted->pValue;
    CK_RV rv = CKR_OK;
    lh_reader r = lh_reader_new(value);
    lh_wire_attribute inner;
    for (size_t i = 0; out && i < n && lh_wire_next_attribute(&r, &inner); i++) {
        out[i].type = inner.type;
        CK_RV one = tell_at(&out[i], &inner, depth + 1);
        rv = rv == CKR_OK ? one : rv;
    }
    return rv;
}

static CK_RV tell_at(CK_ATTRIBUTE *wanted, const lh_wire_attribute *a, unsigned depth)
{
    CK_RV rv = CKR_ATTRIBUTE_TYPE_INVALID;
    if (a && a->flags == LH_ATTRIBUTE_SENSITIVE)
        rv = CKR_ATTRIBUTE_SENSITIVE;
    enum lh_attribute_kind kind = lh_attribute_kind_of(wanted->type);
    if (a && a->flags == 0 && kind == LH_VALUE_TEMPLATE) {
        bool whole = false;
        rv = tell_nested(wanted, a->value, depth, &whole);
        if (whole)
            return rv;
    } else if (a && a->flags == 0) {
        size_t room = wanted->pValue ? wanted->ulValueLen : 0;
        size_t len = lh_attribute_to_native(kind, a->value.data, a->value.len, wanted->pValue, room);
        if (len != SIZE_MAX && (!wanted->pValue || len <= room)) {
            wanted->ulValueLen = len;
            return CKR_OK;
        }
        rv = len == SIZE_MAX ? CKR_ATTRIBUTE_TYPE_INVALID : CKR_BUFFER_TOO_SMALL;
    }
    wanted->ulValueLen = CK_UNAVAILABLE_INFORMATION;
    return rv;
}

CK_RV lh_token_tell(CK_ATTRIBUTE *wanted, const lh_wire_attribute *a)
{
    return tell_at(wanted, a, 0);
}
