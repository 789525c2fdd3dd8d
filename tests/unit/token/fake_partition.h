/* Standalone partitions of the fake daemon: partition 1 is initialised (SO PIN "so-pin", PIN "1234"), 2 is
 * blank. Objects are lists of attributes; nothing is checked but what the module relies on. */
#ifndef LH_TEST_FAKE_PARTITION_H
#define LH_TEST_FAKE_PARTITION_H

#define FAKE_STANDALONE (UINT64_C(1) << 62)
#define FAKE_SESSION_OBJECT (UINT64_C(1) << 61)
#define FAKE_PARTITIONS 8
#define FAKE_PAGE 4

typedef struct fake_object {
    struct fake_object *next;
    uint64_t handle;
    uint64_t slot;
    uint64_t session;          /* of a session object */
    const fake_client *client; /* of a session object */
    lh_buf attributes;
} fake_object;

static struct {
    fake_object *objects;
    uint64_t serial;
    bool ready;
    struct {
        bool initialized;
        char label[33];
        char so[64];
        char pin[64];
    } partitions[FAKE_PARTITIONS];
} fake_vault;

static void fake_vault_prepare(void)
{
    if (fake_vault.ready)
        return;
    fake_vault.ready = true;
    fake_vault.partitions[1].initialized = true;
    strcpy(fake_vault.partitions[1].label, "one");
    strcpy(fake_vault.partitions[1].so, "so-pin");
    strcpy(fake_vault.partitions[1].pin, "1234");
}

static void fake_note(fake_control *c, lh_bytes params)
{
    c->params_len = (unsigned)params.len;
    if (params.len > 0)
        memcpy(c->params, params.data, params.len);
}

/* The objects of a client's session end, or of all of its sessions (session 0). */
static void fake_forget(const fake_client *client, uint64_t session)
{
    for (fake_object **at = &fake_vault.objects; *at;) {
        fake_object *o = *at;
        if (o->client == client && (session == 0 || o->session == session)) {
            *at = o->next;
            lh_buf_free(&o->attributes);
            free(o);
        } else {
            at = &o->next;
        }
    }
}

static bool fake_attribute(lh_bytes attributes, unsigned long type, lh_wire_attribute *ret)
{
    lh_reader r = lh_reader_new(attributes);
    while (lh_wire_next_attribute(&r, ret))
        if (ret->type == type)
            return true;
    return false;
}

static bool fake_flag(lh_bytes attributes, unsigned long type)
{
    lh_wire_attribute a;
    return fake_attribute(attributes, type, &a) && a.value.len == 1 && a.value.data[0];
}

static fake_object *fake_object_find(const fake_client *client, uint64_t handle)
{
    for (fake_object *o = fake_vault.objects; o; o = o->next)
        if (o->handle == handle && (!o->client || o->client == client) &&
            (!fake_flag(lh_buf_bytes(&o->attributes), CKA_PRIVATE) || client->user[o->slot] == CKU_USER + 1))
            return o;
    return NULL;
}

/* Later attributes win. */
static uint64_t fake_make(fake_client *client, uint64_t slot, uint64_t session, lh_bytes first, lh_bytes then)
{
    fake_object *o = calloc(1, sizeof(*o));
    bool token = fake_flag(then, CKA_TOKEN);
    o->handle = FAKE_STANDALONE | (token ? 0 : FAKE_SESSION_OBJECT) | ++fake_vault.serial;
    o->slot = slot;
    o->session = token ? 0 : session;
    o->client = token ? NULL : client;
    o->attributes.max = 65536;
    lh_wire_attribute a;
    lh_wire_attribute b;
    lh_reader r = lh_reader_new(first);
    while (lh_wire_next_attribute(&r, &a))
        if (!fake_attribute(then, a.type, &b))
            lh_wire_put_attribute(&o->attributes, a.type, a.flags, a.value);
    lh_buf_append(&o->attributes, then.data, then.len);
    fake_object **at = &fake_vault.objects;
    while (*at)
        at = &(*at)->next;
    *at = o;
    return o->handle;
}

static bool fake_matches(const fake_object *o, lh_bytes template)
{
    lh_reader r = lh_reader_new(template);
    lh_wire_attribute wanted;
    lh_wire_attribute has;
    while (lh_wire_next_attribute(&r, &wanted))
        if (!fake_attribute(lh_buf_bytes(&o->attributes), wanted.type, &has) ||
            !lh_bytes_equal(has.value, wanted.value))
            return false;
    return true;
}

static void fake_search(fake_client *client, const lh_search_request *q, lh_search_reply *reply, lh_buf *out)
{
    uint64_t cursor = q->cursor;
    unsigned n = 0;
    reply->cursor = 0;
    for (fake_object *o = fake_vault.objects; o; o = o->next) {
        uint64_t serial = o->handle & ~(FAKE_STANDALONE | FAKE_SESSION_OBJECT);
        if (serial <= cursor || o->slot != q->slot || !fake_object_find(client, o->handle) ||
            !fake_matches(o, q->attributes))
            continue;
        if (n++ == FAKE_PAGE) {
            reply->cursor = cursor;
            break;
        }
        lh_put_u64(out, o->handle);
        cursor = serial;
        if (n == FAKE_PAGE)
            reply->cursor = serial;
    }
    if (n < FAKE_PAGE)
        reply->cursor = 0;
    reply->handles = lh_buf_bytes(out);
}

static lh_err fake_attributes_of(fake_client *client, const lh_attributes_request *q, lh_buf *out)
{
    fake_object *o = fake_object_find(client, q->handle);
    if (!o)
        return LH_REFUSE(LH_E_NOT_FOUND, "object-handle-invalid", "no such object");
    lh_reader r = lh_reader_new(q->types);
    while (r.left > 0) {
        uint32_t type = lh_read_u32(&r);
        lh_wire_attribute a;
        if (!fake_attribute(lh_buf_bytes(&o->attributes), type, &a))
            lh_wire_put_attribute(out, type, LH_ATTRIBUTE_NONE, LH_BYTES_NONE);
        else if (type == CKA_VALUE && fake_flag(lh_buf_bytes(&o->attributes), CKA_SENSITIVE))
            lh_wire_put_attribute(out, type, LH_ATTRIBUTE_SENSITIVE, LH_BYTES_NONE);
        else
            lh_wire_put_attribute(out, type, 0, a.value);
    }
    return LH_SUCCESS;
}

static void fake_slot_info(fake_control *c, uint64_t slot, lh_slot_info_reply *info)
{
    memset(info, 0, sizeof(*info));
    memset(info->label, ' ', 32);
    memset(info->serial, '0' + (int)slot, 16);
    info->state = (uint8_t)c->state;
    info->pin_min = 4;
    info->pin_max = 255;
    info->sessions_max = 4096;
    info->flags = LH_TOKEN_FLAG_DEVELOPMENT;
    if (!fake_vault.partitions[slot].initialized)
        return;
    memcpy(info->label, fake_vault.partitions[slot].label, strlen(fake_vault.partitions[slot].label));
    info->flags |= LH_TOKEN_FLAG_INITIALIZED | LH_TOKEN_FLAG_LOGIN_REQUIRED;
    if (fake_vault.partitions[slot].pin[0])
        info->flags |= LH_TOKEN_FLAG_USER_PIN;
}

static bool fake_pin_is(const char *pin, lh_bytes given)
{
    return strlen(pin) == given.len && given.len > 0 && memcmp(pin, given.data, given.len) == 0;
}

static void fake_pin_set(char *pin, lh_bytes given)
{
    memset(pin, 0, 64);
    memcpy(pin, given.data, given.len < 63 ? given.len : 63);
}

static lh_err fake_login(fake_client *client, const lh_login_request *q, lh_buf *out)
{
    if (q->user == CKU_CONTEXT_SPECIFIC)
        return fake_pin_is(fake_vault.partitions[q->slot].pin, q->pin)
                   ? LH_SUCCESS
                   : LH_REFUSE(LH_E_DENIED, "pin-incorrect", "wrong");
    if (client->user[q->slot] != 0)
        return client->user[q->slot] == (int)q->user + 1
                   ? LH_REFUSE(LH_E_STATE, "user-already-logged-in", "already")
                   : LH_REFUSE(LH_E_STATE, "user-another-already-logged-in", "another");
    const char *pin =
        q->user == CKU_SO ? fake_vault.partitions[q->slot].so : fake_vault.partitions[q->slot].pin;
    if (q->user == CKU_USER && !pin[0])
        return LH_REFUSE(LH_E_STATE, "user-pin-not-initialized", "no PIN");
    if (!fake_pin_is(pin, q->pin))
        return LH_REFUSE(LH_E_DENIED, "pin-incorrect", "wrong");
    client->user[q->slot] = (int)q->user + 1;
    lh_put_u8(out, (uint8_t)q->user);
    return LH_SUCCESS;
}

static lh_err fake_pins(fake_control *c, fake_client *client, unsigned call, const lh_any_request *q)
{
    if (call == LH_CALL_INIT_TOKEN) {
        if (q->init_token.pin.len < 4)
            return LH_REFUSE(LH_E_INVALID, "pin-len-range", "short");
        if (fake_vault.partitions[q->init_token.slot].initialized &&
            !fake_pin_is(fake_vault.partitions[q->init_token.slot].so, q->init_token.pin))
            return LH_REFUSE(LH_E_DENIED, "pin-incorrect", "wrong");
        fake_vault.partitions[q->init_token.slot].initialized = true;
        fake_vault.partitions[q->init_token.slot].pin[0] = '\0';
        fake_pin_set(fake_vault.partitions[q->init_token.slot].so, q->init_token.pin);
        memcpy(fake_vault.partitions[q->init_token.slot].label, q->init_token.label, 32);
    } else if (call == LH_CALL_INIT_PIN) {
        if (c->quorum && !q->init_pin.async)
            return LH_REFUSE(LH_E_QUORUM, "partition-quorum", "officers are needed");
        if (!c->quorum && client->user[q->init_pin.slot] != CKU_SO + 1)
            return LH_REFUSE(LH_E_DENIED, "user-not-logged-in", "not the officer");
        if (!c->quorum)
            fake_pin_set(fake_vault.partitions[q->init_pin.slot].pin, q->init_pin.pin);
    } else {
        bool so = client->user[q->set_pin.slot] == CKU_SO + 1;
        char *pin =
            so ? fake_vault.partitions[q->set_pin.slot].so : fake_vault.partitions[q->set_pin.slot].pin;
        if (!fake_pin_is(pin, q->set_pin.old_pin))
            return LH_REFUSE(LH_E_DENIED, "pin-incorrect", "wrong");
        fake_pin_set(pin, q->set_pin.new_pin);
    }
    return LH_SUCCESS;
}

/* Whether the parameters of an AEAD end in what asks the daemon for an IV (12 bytes of it are assumed). */
static bool fake_makes_iv(uint64_t mechanism, lh_bytes params)
{
    const lh_mechanism *row = lh_mechanism_by_type((unsigned long)mechanism);
    if (!row || row->family != LH_FAMILY_AEAD)
        return false;
    lh_reader r = lh_reader_new(params);
    if (row->param == LH_PARAM_CCM)
        lh_read_u64(&r);
    lh_read_blob(&r, 4096);
    lh_read_blob(&r, 4096);
    return r.left == (row->param == LH_PARAM_CHACHA20_POLY1305 ? 5u : 9u);
}

/* Text exclusive-or 0x5a, then a tag of 16 times the text's sum. */
static lh_err fake_aead(unsigned use, const lh_mechanism *row, const lh_operate_request *q, lh_buf *out)
{
    (void)row;
    bool encrypt = use == LH_USE_ENCRYPT;
    if (encrypt && fake_makes_iv(q->mechanism, q->params))
        for (size_t i = 0; i < 12; i++)
            lh_put_u8(out, (uint8_t)(0xa0 + i));
    if (!encrypt && q->data.len < 16)
        return LH_REFUSE(LH_E_INVALID, "data-length", "short");
    size_t len = q->data.len - (encrypt ? 0 : 16);
    uint64_t sum = 0;
    for (size_t i = 0; i < len; i++) {
        uint8_t other = q->data.data[i] ^ 0x5a;
        sum = sum * 31 + (encrypt ? q->data.data[i] : other);
        lh_put_u8(out, other);
    }
    for (size_t i = 0; encrypt && i < 16; i++)
        lh_put_u8(out, (uint8_t)(sum + i));
    if (!encrypt && q->data.data[len] != (uint8_t)sum)
        return LH_REFUSE(LH_E_CORRUPT, "decrypt", "tag");
    return LH_SUCCESS;
}

static lh_err fake_generate(
    fake_control *c, fake_client *client, const lh_generate_request *q, lh_generate_reply *reply)
{
    fake_note(c, q->params);
    LH_AUTO(lh_buf_free) lh_buf first = LH_BUF_INIT(4096);
    const lh_mechanism *row = lh_mechanism_by_type((unsigned long)q->mechanism);
    bool rsa = row->keys & LH_TYPE_RSA;
    bool kem = row->keys & LH_TYPE_ML_KEM;
    CK_ULONG pair = rsa ? CKK_RSA : kem ? CKK_ML_KEM : CKK_EC;
    static const uint8_t modulus[256] = {0xff};
    lh_wire_put_ulong(&first, CKA_KEY_TYPE,
        q->pair                   ? pair
        : row->keys & LH_TYPE_AES ? CKK_AES
                                  : CKK_GENERIC_SECRET);
    for (unsigned i = 0; i < 8; i++)
        lh_wire_put_bool(&first,
            (uint32_t[]){CKA_SIGN, CKA_VERIFY, CKA_ENCRYPT, CKA_DECRYPT, CKA_SIGN_RECOVER, CKA_VERIFY_RECOVER,
                CKA_WRAP, CKA_UNWRAP}[i],
            true);
    if (rsa)
        lh_wire_put_attribute(&first, CKA_MODULUS, 0, LH_BYTES(modulus, 256));
    LH_AUTO(lh_buf_free) lh_buf second = LH_BUF_INIT(4096);
    lh_buf_append(&second, first.data, first.len);
    lh_wire_put_ulong(&first, CKA_CLASS, q->pair ? CKO_PUBLIC_KEY : CKO_SECRET_KEY);
    lh_wire_put_ulong(&second, CKA_CLASS, CKO_PRIVATE_KEY);
    reply->private_handle = 0;
    reply->handle = fake_make(client, q->slot, q->session, lh_buf_bytes(&first), q->attributes);
    if (q->pair)
        reply->private_handle =
            fake_make(client, q->slot, q->session, lh_buf_bytes(&second), q->private_attributes);
    return LH_SUCCESS;
}

static lh_err fake_objects(
    fake_control *c, fake_client *client, unsigned call, const lh_any_request *q, lh_buf *out, void *reply)
{
    lh_handle_reply made = {0};
    fake_object *o = NULL;
    if (call == LH_CALL_CREATE) {
        made.handle =
            fake_make(client, q->create.slot, q->create.session, LH_BYTES_NONE, q->create.attributes);
    } else if (call == LH_CALL_UNWRAP) {
        fake_note(c, q->unwrap.params);
        c->aad_len = (unsigned)q->unwrap.aad.len;
        made.handle =
            fake_make(client, q->unwrap.slot, q->unwrap.session, LH_BYTES_NONE, q->unwrap.attributes);
    } else if (call == LH_CALL_DECAPSULATE) {
        made.handle = fake_make(
            client, q->decapsulate.slot, q->decapsulate.session, LH_BYTES_NONE, q->decapsulate.attributes);
    } else if (!(o = fake_object_find(client, q->handle.handle))) {
        return LH_REFUSE(LH_E_NOT_FOUND, "object-handle-invalid", "no such object");
    } else if (call == LH_CALL_COPY) {
        made.handle =
            fake_make(client, o->slot, q->copy.session, lh_buf_bytes(&o->attributes), q->copy.attributes);
    } else if (call == LH_CALL_OBJECT_SIZE) {
        made.handle = o->attributes.len;
    } else if (call == LH_CALL_SET_ATTRIBUTES) {
        lh_wire_attribute a;
        if (fake_attribute(q->set_attributes.attributes, CKA_CLASS, &a))
            return LH_REFUSE(LH_E_INVALID, "attribute-read-only", "the class stays");
        uint64_t again = fake_make(
            client, o->slot, o->session, lh_buf_bytes(&o->attributes), q->set_attributes.attributes);
        fake_object *n = fake_object_find(client, again);
        lh_buf swap = n->attributes;
        n->attributes = o->attributes;
        o->attributes = swap;
        n->client = client;
        n->session = UINT64_MAX;
        fake_forget(client, UINT64_MAX);
    } else { /* destroy */
        o->client = client;
        o->session = UINT64_MAX;
        fake_forget(client, UINT64_MAX);
    }
    (void)out;
    memcpy(reply, &made, sizeof(made));
    return LH_SUCCESS;
}

static lh_err fake_partition(
    fake_control *c, fake_client *client, unsigned call, const lh_any_request *q, lh_buf *out, void *reply)
{
    fake_vault_prepare();
    lh_output_reply output;
    switch (call) {
    case LH_CALL_SLOTS:
        for (uint64_t i = 1; i <= 2u + (unsigned)c->more_slots; i++)
            lh_put_u64(out, i);
        lh_put_u64(out, 0);
        break;
    case LH_CALL_SLOT_INFO:
        if (q->slot.slot == 0 || q->slot.slot > 2u + (unsigned)c->more_slots)
            return LH_REFUSE(LH_E_NOT_FOUND, "slot-id-invalid", "no such slot");
        fake_slot_info(c, q->slot.slot, reply);
        return LH_SUCCESS;
    case LH_CALL_MECHANISMS: {
        const lh_mechanism *row = NULL;
        for (size_t i = 0; (row = lh_mechanism_at(i)) != NULL; i++)
            if (q->slot.slot != 0 || lh_mechanism_is_leased(row))
                lh_put_u64(out, row->type);
        lh_put_u64(out, 0x7fffffff); /* one that the module has no row for */
        break;
    }
    case LH_CALL_INIT_TOKEN:
    case LH_CALL_SET_PIN: return fake_pins(c, client, call, q);
    case LH_CALL_INIT_PIN: {
        LH_TRY(fake_pins(c, client, call, q));
        memcpy(reply, &(lh_init_pin_reply){c->quorum ? 77 : 0}, sizeof(lh_init_pin_reply));
        return LH_SUCCESS;
    }
    case LH_CALL_LOGIN: LH_TRY(fake_login(client, &q->login, out)); break;
    case LH_CALL_RESUME:
        if (c->no_resume)
            return LH_REFUSE(LH_E_DENIED, "user-not-logged-in", "no longer good");
        client->user[q->resume.slot] = q->resume.ticket.data[0] + 1;
        memcpy(reply, &(lh_resume_reply){q->resume.ticket.data[0]}, sizeof(lh_resume_reply));
        return LH_SUCCESS;
    case LH_CALL_LOGOUT: client->user[q->slot.slot] = 0; return LH_SUCCESS;
    case LH_CALL_SESSION_END: fake_forget(client, q->session.session); return LH_SUCCESS;
    case LH_CALL_SEARCH: fake_search(client, &q->search, reply, out); return LH_SUCCESS;
    case LH_CALL_ATTRIBUTES: LH_TRY(fake_attributes_of(client, &q->attributes, out)); break;
    case LH_CALL_GENERATE: return fake_generate(c, client, &q->generate, reply);
    case LH_CALL_WRAP:
        fake_note(c, q->wrap.params);
        c->aad_len = (unsigned)q->wrap.aad.len;
        for (size_t i = 0; i < q->wrap.aad.len && i < sizeof(c->aad); i++)
            c->aad[i] = q->wrap.aad.data[i];
        lh_buf_append_str(out, "a wrapped key of 27 bytes..");
        break;
    case LH_CALL_DERIVE:
        fake_note(c, q->derive.params);
        for (int i = 0; i <= c->further; i++)
            lh_put_u64(out,
                fake_make(client, q->derive.slot, q->derive.session, LH_BYTES_NONE, q->derive.attributes));
        break;
    case LH_CALL_ENCAPSULATE: {
        lh_encapsulate_reply r = {fake_make(client, q->encapsulate.slot, q->encapsulate.session,
                                      LH_BYTES_NONE, q->encapsulate.attributes),
            LH_BYTES_NONE};
        lh_buf_extend(out, 1088);
        r.ciphertext = lh_buf_bytes(out);
        memcpy(reply, &r, sizeof(r));
        return LH_SUCCESS;
    }
    case LH_CALL_PENDING:
        if (q->pending.pending != 77)
            return LH_REFUSE(LH_E_NOT_FOUND, "pending", "nothing waits by that number");
        memcpy(reply, &(lh_pending_reply){(uint8_t)c->pending_state}, sizeof(lh_pending_reply));
        return LH_SUCCESS;
    default: return fake_objects(c, client, call, q, out, reply);
    }
    output.output = lh_buf_bytes(out);
    memcpy(reply, &output, sizeof(output));
    return lh_buf_status(out);
}

#endif
