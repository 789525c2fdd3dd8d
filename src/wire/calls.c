/* Rows and shapes. The generic encoder and decoder over them are in shape.c. */
#include "wire/calls.h"

#include "p11/mechanism.h"

_Static_assert(LH_WIRE_DATA_MAX == LH_MECHANISM_WHOLE_MAX, "what is not fed in parts fits one message");
_Static_assert(
    LH_WIRE_OUTPUT_MAX >= LH_WIRE_DATA_MAX + 32, "the output of data fits one message, a held block too");

#define FIELD(type, member, k, limit)                                                                        \
    {                                                                                                        \
#member, LH_FIELD_##k, offsetof(type, member), (limit)                                               \
    }
#define SHAPE(id, type, ...)                                                                                 \
    static const lh_field fields_##id[] = {__VA_ARGS__};                                                     \
    static const lh_shape shape_##id = {#type, sizeof(type), fields_##id, LH_ARRAY_LEN(fields_##id)}

#define U8(type, member) FIELD(type, member, U8, 1)
#define U16(type, member) FIELD(type, member, U16, 2)
#define U32(type, member) FIELD(type, member, U32, 4)
#define U64(type, member) FIELD(type, member, U64, 8)
#define RAW(type, member) FIELD(type, member, RAW, sizeof(((type *)0)->member))
#define STR(type, member) FIELD(type, member, STR, sizeof(((type *)0)->member))
#define BLOB(type, member, limit) FIELD(type, member, BLOB, limit)

static const lh_shape shape_empty = {"empty", 0, NULL, 0};

SHAPE(hello_request, lh_hello_request, U64(lh_hello_request, magic), U16(lh_hello_request, version_min),
    U16(lh_hello_request, version_max), U8(lh_hello_request, kind));
SHAPE(hello_reply, lh_hello_reply, U16(lh_hello_reply, version), U32(lh_hello_reply, message_limit));
SHAPE(token_info_reply, lh_token_info_reply, RAW(lh_token_info_reply, label),
    RAW(lh_token_info_reply, serial), U8(lh_token_info_reply, state), U32(lh_token_info_reply, flags));
SHAPE(find_request, lh_find_request, U64(lh_find_request, cursor),
    BLOB(lh_find_request, attributes, LH_WIRE_ATTRIBUTES_MAX));
SHAPE(
    find_reply, lh_find_reply, U64(lh_find_reply, cursor), BLOB(lh_find_reply, objects, LH_WIRE_OBJECTS_MAX));
SHAPE(attributes_request, lh_attributes_request, U64(lh_attributes_request, handle),
    BLOB(lh_attributes_request, types, 4u * LH_WIRE_TYPES_MAX));
SHAPE(attributes_reply, lh_attributes_reply, BLOB(lh_attributes_reply, attributes, LH_WIRE_ATTRIBUTES_MAX));
SHAPE(operate_request, lh_operate_request, U64(lh_operate_request, handle),
    U64(lh_operate_request, mechanism), BLOB(lh_operate_request, params, LH_WIRE_PARAMS_MAX),
    BLOB(lh_operate_request, data, LH_WIRE_DATA_MAX),
    BLOB(lh_operate_request, signature, LH_WIRE_SIGNATURE_MAX));
SHAPE(output_reply, lh_output_reply, BLOB(lh_output_reply, output, LH_WIRE_OUTPUT_MAX));
SHAPE(op_begin_request, lh_op_begin_request, U8(lh_op_begin_request, use), U64(lh_op_begin_request, handle),
    U64(lh_op_begin_request, mechanism), BLOB(lh_op_begin_request, params, LH_WIRE_PARAMS_MAX));
SHAPE(op_begin_reply, lh_op_begin_reply, U64(lh_op_begin_reply, operation));
SHAPE(op_update_request, lh_op_update_request, U64(lh_op_update_request, operation),
    BLOB(lh_op_update_request, data, LH_WIRE_DATA_MAX));
SHAPE(op_finish_request, lh_op_finish_request, U64(lh_op_finish_request, operation),
    BLOB(lh_op_finish_request, data, LH_WIRE_DATA_MAX),
    BLOB(lh_op_finish_request, signature, LH_WIRE_SIGNATURE_MAX));
SHAPE(op_cancel_request, lh_op_cancel_request, U64(lh_op_cancel_request, operation));
SHAPE(random_request, lh_random_request, U32(lh_random_request, len));
SHAPE(seed_request, lh_seed_request, BLOB(lh_seed_request, data, LH_WIRE_DATA_MAX));
SHAPE(nonce_message, lh_nonce_message, RAW(lh_nonce_message, nonce));
SHAPE(admin_message, lh_admin_message, BLOB(lh_admin_message, json, LH_WIRE_JSON_MAX));

static const lh_field fields_error[] = {
    U32(lh_error_reply, code), STR(lh_error_reply, reason), STR(lh_error_reply, message)};
const lh_shape lh_shape_error = {
    "lh_error_reply", sizeof(lh_error_reply), fields_error, LH_ARRAY_LEN(fields_error)};

#define TOKEN (1u << LH_KIND_TOKEN)
#define ADMIN (1u << LH_KIND_ADMIN)

static const lh_call_row rows[] = {
    /* call, name, since, kinds, use, repeatable, request, reply */
    {LH_CALL_HELLO, "hello", 1, 0, 0, true, &shape_hello_request, &shape_hello_reply},
    {LH_CALL_TOKEN_INFO, "token_info", 1, TOKEN | ADMIN, 0, true, &shape_empty, &shape_token_info_reply},
    {LH_CALL_FIND, "find", 1, TOKEN, 0, true, &shape_find_request, &shape_find_reply},
    {LH_CALL_ATTRIBUTES, "attributes", 1, TOKEN, 0, true, &shape_attributes_request, &shape_attributes_reply},
    {LH_CALL_SIGN, "sign", 1, TOKEN, LH_USE_SIGN, false, &shape_operate_request, &shape_output_reply},
    {LH_CALL_VERIFY, "verify", 1, TOKEN, LH_USE_VERIFY, false, &shape_operate_request, &shape_output_reply},
    {LH_CALL_ENCRYPT, "encrypt", 1, TOKEN, LH_USE_ENCRYPT, false, &shape_operate_request,
        &shape_output_reply},
    {LH_CALL_DECRYPT, "decrypt", 1, TOKEN, LH_USE_DECRYPT, false, &shape_operate_request,
        &shape_output_reply},
    {LH_CALL_DIGEST, "digest", 1, TOKEN, LH_USE_DIGEST, true, &shape_operate_request, &shape_output_reply},
    {LH_CALL_OP_BEGIN, "op_begin", 1, TOKEN, 0, false, &shape_op_begin_request, &shape_op_begin_reply},
    {LH_CALL_OP_UPDATE, "op_update", 1, TOKEN, 0, false, &shape_op_update_request, &shape_output_reply},
    {LH_CALL_OP_FINISH, "op_finish", 1, TOKEN, 0, false, &shape_op_finish_request, &shape_output_reply},
    {LH_CALL_OP_CANCEL, "op_cancel", 1, TOKEN, 0, false, &shape_op_cancel_request, &shape_empty},
    {LH_CALL_RANDOM, "random", 1, TOKEN, 0, true, &shape_random_request, &shape_output_reply},
    {LH_CALL_SEED, "seed", 1, TOKEN, 0, true, &shape_seed_request, &shape_empty},
    {LH_CALL_CHALLENGE, "challenge", 1, 0, 0, false, &shape_nonce_message, NULL},
    {LH_CALL_ANSWER, "answer", 1, TOKEN | ADMIN, 0, false, &shape_nonce_message, NULL},
    {LH_CALL_ADMIN, "admin", 1, ADMIN, 0, false, &shape_admin_message, &shape_admin_message},
};

const lh_call_row *lh_call_find(unsigned call)
{
    for (size_t i = 0; i < LH_ARRAY_LEN(rows); i++)
        if ((unsigned)rows[i].call == call)
            return &rows[i];
    return NULL;
}

const lh_call_row *lh_call_table(size_t *ret_count)
{
    *ret_count = LH_ARRAY_LEN(rows);
    return rows;
}

lh_err lh_hello_choose(const lh_hello_request *hello, uint16_t min, uint16_t max, uint16_t *ret_version)
{
    if (hello->magic != LH_WIRE_MAGIC || (hello->kind != LH_KIND_TOKEN && hello->kind != LH_KIND_ADMIN) ||
        hello->version_min == 0 || hello->version_min > hello->version_max)
        return LH_REFUSE(LH_E_PROTOCOL, "hello", "this is not a hello of the leasehold protocol");
    uint16_t version = hello->version_max < max ? hello->version_max : max;
    if (version < min || version < hello->version_min)
        return LH_REFUSE(LH_E_UNSUPPORTED, "version",
            "the client speaks protocol versions %u to %u, this daemon %u to %u: update the older of the two",
            hello->version_min, hello->version_max, min, max);
    *ret_version = version;
    return LH_SUCCESS;
}
