#include "object/ticket.h"

#include "codec/bin.h"
#include "crypto/aead.h"
#include "crypto/hash.h"

#define FORMAT 2
#define SALT_SIZE 16
#define PLAIN_SIZE (8 + 16 + 8 + 8 + 4 + 4 + 8 + 4 + 16 + 8 + 8)

static const char label[] = "leasehold-ticket-v1";

static void wipe_key(uint8_t (*key)[LH_AEAD_KEY_SIZE])
{
    explicit_bzero(*key, sizeof(*key));
}

static lh_err derive_key(
    lh_crypto *crypto, const lh_secret *key, lh_bytes salt, uint8_t ret[LH_AEAD_KEY_SIZE])
{
    return lh_hkdf_sha256(crypto, lh_secret_bytes(key), salt, LH_BYTES_STR(label), ret, LH_AEAD_KEY_SIZE);
}

static void put_associated(const uint8_t vault_id[32], lh_buf *out)
{
    lh_put_raw(out, label, sizeof(label) - 1);
    lh_put_raw(out, vault_id, 32);
}

lh_err lh_ticket_seal(
    lh_crypto *crypto, const lh_secret *key, const uint8_t vault_id[32], const lh_ticket *ticket, lh_buf *ret)
{
    LH_AUTO(wipe_key) uint8_t once[LH_AEAD_KEY_SIZE];
    LH_AUTO(lh_buf_free) lh_buf plain = LH_BUF_INIT(PLAIN_SIZE);
    LH_AUTO(lh_buf_free) lh_buf associated = LH_BUF_INIT(64);
    uint8_t salt[SALT_SIZE];
    uint8_t nonce[LH_AEAD_NONCE_SIZE];
    lh_random(salt, sizeof(salt));
    lh_random(nonce, sizeof(nonce));
    lh_put_u64(&plain, ticket->partition);
    lh_put_raw(&plain, ticket->partition_id, sizeof(ticket->partition_id));
    lh_put_u64(&plain, ticket->token_generation);
    lh_put_u64(&plain, ticket->pin_generation);
    lh_put_u32(&plain, ticket->user);
    lh_put_u32(&plain, ticket->pid);
    lh_put_u64(&plain, ticket->start_time);
    lh_put_u32(&plain, ticket->uid);
    lh_put_raw(&plain, ticket->boot_id, sizeof(ticket->boot_id));
    lh_put_u64(&plain, ticket->login.run);
    lh_put_u64(&plain, ticket->login.number);
    LH_TRY(lh_buf_status(&plain));
    put_associated(vault_id, &associated);
    LH_TRY(lh_buf_status(&associated));
    LH_TRY(derive_key(crypto, key, LH_BYTES(salt, sizeof(salt)), once));
    lh_put_u8(ret, FORMAT);
    lh_put_raw(ret, salt, sizeof(salt));
    lh_put_raw(ret, nonce, sizeof(nonce));
    LH_TRY(lh_buf_status(ret));
    return lh_aead_seal(crypto, once, nonce, lh_buf_bytes(&associated), lh_buf_bytes(&plain), ret);
}

static lh_err refuse(void)
{
    return LH_REFUSE(LH_E_DENIED, "user-not-logged-in", "this login cannot be resumed: log in again");
}

static lh_err parse(lh_bytes plain, lh_ticket *ret)
{
    lh_reader r = lh_reader_new(plain);
    lh_ticket ticket = {.partition = lh_read_u64(&r)};
    lh_read_into(&r, ticket.partition_id, sizeof(ticket.partition_id));
    ticket.token_generation = lh_read_u64(&r);
    ticket.pin_generation = lh_read_u64(&r);
    ticket.user = lh_read_u32(&r);
    ticket.pid = lh_read_u32(&r);
    ticket.start_time = lh_read_u64(&r);
    ticket.uid = lh_read_u32(&r);
    lh_read_into(&r, ticket.boot_id, sizeof(ticket.boot_id));
    ticket.login.run = lh_read_u64(&r);
    ticket.login.number = lh_read_u64(&r);
    LH_TRY(lh_read_done(&r, "a ticket"));
    *ret = ticket;
    return LH_SUCCESS;
}

lh_err lh_ticket_open(
    lh_crypto *crypto, const lh_secret *key, const uint8_t vault_id[32], lh_bytes sealed, lh_ticket *ret)
{
    LH_AUTO(wipe_key) uint8_t once[LH_AEAD_KEY_SIZE];
    LH_AUTO(lh_buf_free) lh_buf plain = LH_BUF_INIT(PLAIN_SIZE);
    LH_AUTO(lh_buf_free) lh_buf associated = LH_BUF_INIT(64);
    lh_reader r = lh_reader_new(sealed);
    uint8_t format = lh_read_u8(&r);
    lh_bytes salt = lh_read_raw(&r, SALT_SIZE);
    lh_bytes nonce = lh_read_raw(&r, LH_AEAD_NONCE_SIZE);
    if (r.bad || format != FORMAT || r.left != PLAIN_SIZE + LH_AEAD_TAG_SIZE)
        return refuse();
    put_associated(vault_id, &associated);
    LH_TRY(lh_buf_status(&associated));
    LH_TRY(derive_key(crypto, key, salt, once));
    lh_err err =
        lh_aead_open(crypto, once, nonce.data, lh_buf_bytes(&associated), LH_BYTES(r.at, r.left), &plain);
    if (err.code == LH_E_CORRUPT)
        return refuse();
    LH_TRY(err);
    return lh_ok(parse(lh_buf_bytes(&plain), ret)) ? LH_SUCCESS : refuse();
}
