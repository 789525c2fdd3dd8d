/* Tickets: whole, of this vault, of this key; nothing else opens. */
#include "fixture.h"

#include "object/ticket.h"

static void test_ticket(void **state)
{
    lh_crypto *crypto = NULL;
    lh_secret *key = NULL;
    lh_secret *other = NULL;
    uint8_t vault[32] = {1};
    lh_ticket ticket = {.partition = 3, .user = 1, .pid = 44, .start_time = 5, .uid = 1000};
    lh_ticket back;
    LH_AUTO(lh_buf_free) lh_buf sealed = LH_BUF_INIT(LH_WIRE_TICKET_MAX);
    LH_AUTO(lh_buf_free) lh_buf second = LH_BUF_INIT(LH_WIRE_TICKET_MAX);
    (void)state;
    memset(ticket.boot_id, 9, sizeof(ticket.boot_id));
    assert_lh_ok(lh_crypto_new(&crypto));
    assert_lh_ok(lh_secret_random(32, &key));
    assert_lh_ok(lh_secret_random(32, &other));
    assert_lh_ok(lh_ticket_seal(crypto, key, vault, &ticket, &sealed));
    assert_lh_ok(lh_ticket_seal(crypto, key, vault, &ticket, &second));
    assert_false(lh_bytes_equal(lh_buf_bytes(&sealed), lh_buf_bytes(&second)));
    assert_lh_ok(lh_ticket_open(crypto, key, vault, lh_buf_bytes(&sealed), &back));
    assert_int_equal(back.pid, 44);
    assert_int_equal(back.uid, 1000);
    assert_memory_equal(back.boot_id, ticket.boot_id, sizeof(back.boot_id));
    assert_refusal(lh_ticket_open(crypto, other, vault, lh_buf_bytes(&sealed), &back), "user-not-logged-in");
    vault[31] = 1;
    assert_refusal(lh_ticket_open(crypto, key, vault, lh_buf_bytes(&sealed), &back), "user-not-logged-in");
    vault[31] = 0;
    for (size_t i = 0; i < sealed.len; i++) {
        sealed.data[i] ^= 1;
        assert_refusal(
            lh_ticket_open(crypto, key, vault, lh_buf_bytes(&sealed), &back), "user-not-logged-in");
        assert_refusal(
            lh_ticket_open(crypto, key, vault, LH_BYTES(sealed.data, i), &back), "user-not-logged-in");
        sealed.data[i] ^= 1;
    }
    lh_secret_free(key);
    lh_secret_free(other);
    lh_crypto_free(crypto);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ticket)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
