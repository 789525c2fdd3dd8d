/* Rows and shapes. The generic encoder and decoder over them are in shape.c. */
#include "wire/calls.h"

#include "p11/mechanism.h"
#include "wire/shape_rows.h"

_Static_assert(LH_WIRE_DATA_MAX == LH_MECHANISM_WHOLE_MAX, "what is not fed in parts fits one message");
_Static_assert(
    LH_WIRE_OUTPUT_MAX >= LH_WIRE_DATA_MAX + 32, "the output of data fits one message, a held block too");

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

/* Version 2. */
SHAPE(slots_reply, lh_slots_reply, BLOB(lh_slots_reply, slots, 8u * LH_WIRE_SLOTS_MAX));
SHAPE(slot_request, lh_slot_request, U64(lh_slot_request, slot));
SHAPE(slot_info_reply, lh_slot_info_reply, RAW(lh_slot_info_reply, label), RAW(lh_slot_info_reply, serial),
    U8(lh_slot_info_reply, state), U32(lh_slot_info_reply, flags), U32(lh_slot_info_reply, pin_min),
    U32(lh_slot_info_reply, pin_max), U64(lh_slot_info_reply, public_memory),
    U64(lh_slot_info_reply, private_memory), U64(lh_slot_info_reply, sessions_max));
SHAPE(mechanisms_reply, lh_mechanisms_reply, BLOB(lh_mechanisms_reply, types, 8u * LH_WIRE_MECHANISMS_MAX));
SHAPE(init_token_request, lh_init_token_request, U64(lh_init_token_request, slot),
    BLOB(lh_init_token_request, pin, LH_WIRE_PIN_MAX), RAW(lh_init_token_request, label));
SHAPE(init_pin_request, lh_init_pin_request, U64(lh_init_pin_request, slot),
    BLOB(lh_init_pin_request, pin, LH_WIRE_PIN_MAX), U8(lh_init_pin_request, async));
SHAPE(init_pin_reply, lh_init_pin_reply, U64(lh_init_pin_reply, pending));
SHAPE(set_pin_request, lh_set_pin_request, U64(lh_set_pin_request, slot),
    BLOB(lh_set_pin_request, old_pin, LH_WIRE_PIN_MAX), BLOB(lh_set_pin_request, new_pin, LH_WIRE_PIN_MAX));
SHAPE(login_request, lh_login_request, U64(lh_login_request, slot), U32(lh_login_request, user),
    BLOB(lh_login_request, name, LH_WIRE_USER_NAME_MAX), BLOB(lh_login_request, pin, LH_WIRE_PIN_MAX),
    U64(lh_login_request, handle));
SHAPE(login_reply, lh_login_reply, BLOB(lh_login_reply, ticket, LH_WIRE_TICKET_MAX));
SHAPE(resume_request, lh_resume_request, U64(lh_resume_request, slot),
    BLOB(lh_resume_request, ticket, LH_WIRE_TICKET_MAX));
SHAPE(resume_reply, lh_resume_reply, U32(lh_resume_reply, user));
SHAPE(session_request, lh_session_request, U64(lh_session_request, session));
SHAPE(search_request, lh_search_request, U64(lh_search_request, slot), U64(lh_search_request, cursor),
    BLOB(lh_search_request, attributes, LH_WIRE_ATTRIBUTES_MAX));
SHAPE(search_reply, lh_search_reply, U64(lh_search_reply, cursor),
    BLOB(lh_search_reply, handles, 8u * LH_WIRE_SEARCH_MAX));
SHAPE(create_request, lh_create_request, U64(lh_create_request, slot), U64(lh_create_request, session),
    BLOB(lh_create_request, attributes, LH_WIRE_TEMPLATE_MAX));
SHAPE(handle_reply, lh_handle_reply, U64(lh_handle_reply, handle));
SHAPE(copy_request, lh_copy_request, U64(lh_copy_request, handle), U64(lh_copy_request, session),
    BLOB(lh_copy_request, attributes, LH_WIRE_TEMPLATE_MAX));
SHAPE(handle_request, lh_handle_request, U64(lh_handle_request, handle));
SHAPE(set_attributes_request, lh_set_attributes_request, U64(lh_set_attributes_request, handle),
    BLOB(lh_set_attributes_request, attributes, LH_WIRE_TEMPLATE_MAX));
SHAPE(object_size_reply, lh_object_size_reply, U64(lh_object_size_reply, size));
SHAPE(generate_request, lh_generate_request, U64(lh_generate_request, slot),
    U64(lh_generate_request, session), U64(lh_generate_request, mechanism),
    BLOB(lh_generate_request, params, LH_WIRE_PARAMS_MAX),
    BLOB(lh_generate_request, attributes, LH_WIRE_TEMPLATE_MAX),
    BLOB(lh_generate_request, private_attributes, LH_WIRE_TEMPLATE_MAX), U8(lh_generate_request, pair));
SHAPE(generate_reply, lh_generate_reply, U64(lh_generate_reply, handle),
    U64(lh_generate_reply, private_handle));
SHAPE(wrap_request, lh_wrap_request, U64(lh_wrap_request, mechanism),
    BLOB(lh_wrap_request, params, LH_WIRE_PARAMS_MAX), U64(lh_wrap_request, wrapping),
    U64(lh_wrap_request, key), BLOB(lh_wrap_request, aad, LH_WIRE_AAD_MAX));
SHAPE(wrap_reply, lh_wrap_reply, BLOB(lh_wrap_reply, wrapped, LH_WIRE_WRAPPED_MAX));
SHAPE(unwrap_request, lh_unwrap_request, U64(lh_unwrap_request, slot), U64(lh_unwrap_request, session),
    U64(lh_unwrap_request, mechanism), BLOB(lh_unwrap_request, params, LH_WIRE_PARAMS_MAX),
    U64(lh_unwrap_request, unwrapping), BLOB(lh_unwrap_request, wrapped, LH_WIRE_WRAPPED_MAX),
    BLOB(lh_unwrap_request, aad, LH_WIRE_AAD_MAX), BLOB(lh_unwrap_request, attributes, LH_WIRE_TEMPLATE_MAX));
SHAPE(derive_request, lh_derive_request, U64(lh_derive_request, slot), U64(lh_derive_request, session),
    U64(lh_derive_request, mechanism), BLOB(lh_derive_request, params, LH_WIRE_PARAMS_MAX),
    U64(lh_derive_request, base), BLOB(lh_derive_request, attributes, LH_WIRE_TEMPLATE_MAX));
SHAPE(derive_reply, lh_derive_reply, BLOB(lh_derive_reply, handles, 8u * LH_WIRE_DERIVED_MAX));
SHAPE(encapsulate_request, lh_encapsulate_request, U64(lh_encapsulate_request, slot),
    U64(lh_encapsulate_request, session), U64(lh_encapsulate_request, mechanism),
    BLOB(lh_encapsulate_request, params, LH_WIRE_PARAMS_MAX), U64(lh_encapsulate_request, public_key),
    BLOB(lh_encapsulate_request, attributes, LH_WIRE_TEMPLATE_MAX));
SHAPE(encapsulate_reply, lh_encapsulate_reply, U64(lh_encapsulate_reply, handle),
    BLOB(lh_encapsulate_reply, ciphertext, LH_WIRE_CIPHERTEXT_MAX));
SHAPE(decapsulate_request, lh_decapsulate_request, U64(lh_decapsulate_request, slot),
    U64(lh_decapsulate_request, session), U64(lh_decapsulate_request, mechanism),
    BLOB(lh_decapsulate_request, params, LH_WIRE_PARAMS_MAX), U64(lh_decapsulate_request, private_key),
    BLOB(lh_decapsulate_request, ciphertext, LH_WIRE_CIPHERTEXT_MAX),
    BLOB(lh_decapsulate_request, attributes, LH_WIRE_TEMPLATE_MAX));
SHAPE(op_digest_key_request, lh_op_digest_key_request, U64(lh_op_digest_key_request, operation),
    U64(lh_op_digest_key_request, handle));
SHAPE(pending_request, lh_pending_request, U64(lh_pending_request, slot), U64(lh_pending_request, pending));
SHAPE(pending_reply, lh_pending_reply, U8(lh_pending_reply, state));

static const lh_field fields_error[] = {
    U32(lh_error_reply, code), STR(lh_error_reply, reason), STR(lh_error_reply, message)};
const lh_shape lh_shape_error = {
    "lh_error_reply", sizeof(lh_error_reply), fields_error, LH_ARRAY_LEN(fields_error)};

#define TOKEN (1u << LH_KIND_TOKEN)
#define ADMIN (1u << LH_KIND_ADMIN)

static const lh_call_row rows[] = {
    /* call, name, since, kinds, use, repeatable, slow, secret, request, reply */
    {LH_CALL_HELLO, "hello", 1, 0, 0, true, false, false, &shape_hello_request, &shape_hello_reply},
    {LH_CALL_TOKEN_INFO, "token_info", 1, TOKEN | ADMIN, 0, true, false, false, &shape_empty,
        &shape_token_info_reply},
    {LH_CALL_FIND, "find", 1, TOKEN, 0, true, false, false, &shape_find_request, &shape_find_reply},
    {LH_CALL_ATTRIBUTES, "attributes", 1, TOKEN, 0, true, false, false, &shape_attributes_request,
        &shape_attributes_reply},
    {LH_CALL_SIGN, "sign", 1, TOKEN, LH_USE_SIGN, false, false, false, &shape_operate_request,
        &shape_output_reply},
    {LH_CALL_VERIFY, "verify", 1, TOKEN, LH_USE_VERIFY, false, false, false, &shape_operate_request,
        &shape_output_reply},
    {LH_CALL_ENCRYPT, "encrypt", 1, TOKEN, LH_USE_ENCRYPT, false, false, false, &shape_operate_request,
        &shape_output_reply},
    {LH_CALL_DECRYPT, "decrypt", 1, TOKEN, LH_USE_DECRYPT, false, false, false, &shape_operate_request,
        &shape_output_reply},
    {LH_CALL_DIGEST, "digest", 1, TOKEN, LH_USE_DIGEST, true, false, false, &shape_operate_request,
        &shape_output_reply},
    {LH_CALL_OP_BEGIN, "op_begin", 1, TOKEN, 0, false, false, false, &shape_op_begin_request,
        &shape_op_begin_reply},
    {LH_CALL_OP_UPDATE, "op_update", 1, TOKEN, 0, false, false, false, &shape_op_update_request,
        &shape_output_reply},
    {LH_CALL_OP_FINISH, "op_finish", 1, TOKEN, 0, false, false, false, &shape_op_finish_request,
        &shape_output_reply},
    {LH_CALL_OP_CANCEL, "op_cancel", 1, TOKEN, 0, false, false, false, &shape_op_cancel_request,
        &shape_empty},
    {LH_CALL_RANDOM, "random", 1, TOKEN, 0, true, false, false, &shape_random_request, &shape_output_reply},
    {LH_CALL_SEED, "seed", 1, TOKEN, 0, true, false, false, &shape_seed_request, &shape_empty},
    {LH_CALL_CHALLENGE, "challenge", 1, 0, 0, false, false, false, &shape_nonce_message, NULL},
    {LH_CALL_ANSWER, "answer", 1, TOKEN | ADMIN, 0, false, false, false, &shape_nonce_message, NULL},
    {LH_CALL_ADMIN, "admin", 1, ADMIN, 0, false, false, false, &shape_admin_message, &shape_admin_message},
    {LH_CALL_SLOTS, "slots", 2, TOKEN, 0, true, false, false, &shape_empty, &shape_slots_reply},
    {LH_CALL_SLOT_INFO, "slot_info", 2, TOKEN, 0, true, false, false, &shape_slot_request,
        &shape_slot_info_reply},
    {LH_CALL_MECHANISMS, "mechanisms", 2, TOKEN, 0, true, false, false, &shape_slot_request,
        &shape_mechanisms_reply},
    {LH_CALL_INIT_TOKEN, "init_token", 2, TOKEN, 0, false, true, true, &shape_init_token_request,
        &shape_empty},
    {LH_CALL_INIT_PIN, "init_pin", 2, TOKEN, 0, false, true, true, &shape_init_pin_request,
        &shape_init_pin_reply},
    {LH_CALL_SET_PIN, "set_pin", 2, TOKEN, 0, false, true, true, &shape_set_pin_request, &shape_empty},
    {LH_CALL_LOGIN, "login", 2, TOKEN, 0, false, true, true, &shape_login_request, &shape_login_reply},
    {LH_CALL_RESUME, "resume", 2, TOKEN, 0, false, false, true, &shape_resume_request, &shape_resume_reply},
    {LH_CALL_LOGOUT, "logout", 2, TOKEN, 0, false, false, false, &shape_slot_request, &shape_empty},
    {LH_CALL_SESSION_END, "session_end", 2, TOKEN, 0, false, false, false, &shape_session_request,
        &shape_empty},
    {LH_CALL_SEARCH, "search", 2, TOKEN, 0, true, false, false, &shape_search_request, &shape_search_reply},
    {LH_CALL_CREATE, "create", 2, TOKEN, 0, false, false, true, &shape_create_request, &shape_handle_reply},
    {LH_CALL_COPY, "copy", 2, TOKEN, 0, false, false, false, &shape_copy_request, &shape_handle_reply},
    {LH_CALL_DESTROY, "destroy", 2, TOKEN, 0, false, false, false, &shape_handle_request, &shape_empty},
    {LH_CALL_SET_ATTRIBUTES, "set_attributes", 2, TOKEN, 0, false, false, false,
        &shape_set_attributes_request, &shape_empty},
    {LH_CALL_OBJECT_SIZE, "object_size", 2, TOKEN, 0, true, false, false, &shape_handle_request,
        &shape_object_size_reply},
    {LH_CALL_GENERATE, "generate", 2, TOKEN, 0, false, true, false, &shape_generate_request,
        &shape_generate_reply},
    {LH_CALL_WRAP, "wrap", 2, TOKEN, 0, false, false, false, &shape_wrap_request, &shape_wrap_reply},
    {LH_CALL_UNWRAP, "unwrap", 2, TOKEN, 0, false, false, false, &shape_unwrap_request, &shape_handle_reply},
    {LH_CALL_DERIVE, "derive", 2, TOKEN, 0, false, true, false, &shape_derive_request, &shape_derive_reply},
    {LH_CALL_ENCAPSULATE, "encapsulate", 2, TOKEN, 0, false, false, false, &shape_encapsulate_request,
        &shape_encapsulate_reply},
    {LH_CALL_DECAPSULATE, "decapsulate", 2, TOKEN, 0, false, false, false, &shape_decapsulate_request,
        &shape_handle_reply},
    {LH_CALL_OP_DIGEST_KEY, "op_digest_key", 2, TOKEN, 0, false, false, false, &shape_op_digest_key_request,
        &shape_empty},
    {LH_CALL_SIGN_RECOVER, "sign_recover", 2, TOKEN, LH_USE_SIGN_RECOVER, false, false, false,
        &shape_operate_request, &shape_output_reply},
    {LH_CALL_VERIFY_RECOVER, "verify_recover", 2, TOKEN, LH_USE_VERIFY_RECOVER, false, false, false,
        &shape_operate_request, &shape_output_reply},
    {LH_CALL_PENDING, "pending", 2, TOKEN, 0, true, false, false, &shape_pending_request,
        &shape_pending_reply},
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
