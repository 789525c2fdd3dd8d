/* What ends leases of hosts: evidence that does not come anew, or shows something else; channels that are
 * lost; the vault's own end. */
#include "host_fixture.h"

static int short_freshness(void **unused)
{
    set_policy(2);
    return connect_both(unused);
}

static int long_freshness(void **unused)
{
    disconnect_both(unused);
    set_policy(60);
    return 0;
}

/* While a lease lives the host is asked anew, and it lives on by the answers. */
static void test_freshness(void **unused)
{
    (void)unused;
    agent_stream *s = NULL;
    lh_peer *peer = NULL;
    lh_lease *lease = issued(&web1, 4711, &s, &peer);
    swtpm_sleep_ms(3000);
    assert_int_equal(lh_lease_state_of(lease), LH_LEASE_LIVE);
    assert_in_range(agent_asked(&web1), 2, 5);
    assert_int_equal(agent_asked(&web2), 0); /* nothing lives there */
    /* Silence. */
    agent_deafen(&web1, true);
    assert_string_equal(wait_ended(lease, 3000), "evidence-stale");
    assert_int_equal(wait_stored(lh_lease_terms_of(lease)->id, LH_LEASE_ENDED), LH_LEASE_ENDED);
    lh_peer_unref(peer);
    lh_lease_unref(lease);
}

static void test_unable(void **unused)
{
    (void)unused;
    agent_stream *s = NULL;
    lh_peer *peer = NULL;
    lh_lease *lease = issued(&web1, 4711, &s, &peer);
    web1.tamper = unable;
    assert_string_equal(wait_ended(lease, 3000), "evidence-none");
    lh_peer_unref(peer);
    lh_lease_unref(lease);
}

static void test_link_loss(void **unused)
{
    (void)unused;
    agent_stream *s = NULL;
    lh_peer *peer[8];
    lh_lease *lease[8];
    for (int i = 0; i < 8; i++)
        lease[i] = issued(&web1, 4711 + i, &s, &peer[i]);
    int64_t begun = lh_clock_boot_ms();
    agent_disconnect(&web1);
    for (int i = 0; i < 8; i++) {
        lh_peer_unref(peer[i]);
        assert_int_equal(lh_lease_state_of(lease[i]), LH_LEASE_LIVE);
    }
    int64_t first = 0, last = 0;
    for (size_t ended = 0; ended < 8 && lh_clock_boot_ms() - begun < 4000;) {
        swtpm_sleep_ms(20);
        ended = 0;
        for (int i = 0; i < 8; i++)
            ended += lh_lease_state_of(lease[i]) == LH_LEASE_ENDED;
        if (ended > 0 && first == 0)
            first = lh_clock_boot_ms();
        last = lh_clock_boot_ms();
    }
    assert_in_range(last - begun, 1000, 2600);
    assert_true(last - first >= 20); /* not all in one moment */
    for (int i = 0; i < 8; i++) {
        assert_string_equal(wait_ended(lease[i], 0), "host-lost");
        lh_lease_unref(lease[i]);
    }
}

/* A host that was restarted has logs of another boot, maybe shorter than what was read of the last one's:
 * each link's are asked for from their beginning. */
static void test_logs_of_each_link(void **unused)
{
    (void)unused;
    static const uint8_t part[100];
    for (int i = 0; i < 2; i++) {
        lh_host *host = web1.link->host;
        assert_int_equal(atomic_load(&host->ima_offset), 0);
        assert_true(atomic_load(&host->wants_events));
        assert_lh_ok(lh_host_link_log(web1.link, LH_LOG_IMA, 0, LH_BYTES(part, sizeof(part))));
        assert_int_equal(atomic_load(&host->ima_offset), sizeof(part));
        agent_disconnect(&web1);
        agent_connect(&web1);
    }
}

/* A process that the agent lists with other facts, or does not list, loses its leases. */
static bool other_list(agent *a, const lh_quote_request *r, lh_evidence *e, lh_buf *facts)
{
    if (r->stream != 0 || facts->len < 36)
        return true;
    facts->data[20] ^= 1; /* of the first stream */
    lh_evidence_leaf leaf = {0};
    agent_leaf(a, r, facts, &leaf);
    lh_evidence_deinit(e);
    lh_evidence_init(e);
    assert_lh_ok(lh_attester_quote(a->attester, r->pcr_mask, &leaf, e));
    return true;
}

static void test_facts_list(void **unused)
{
    (void)unused;
    agent_stream *s = NULL;
    agent_stream *t = NULL;
    lh_peer *peer = NULL;
    lh_peer *other = NULL;
    lh_lease *lease = issued(&web1, 4711, &s, &peer);
    lh_lease *untouched = issued(&web1, 4712, &t, &other);
    web1.tamper = other_list;
    assert_string_equal(wait_ended(lease, 3000), "changed");
    assert_int_equal(lh_lease_state_of(untouched), LH_LEASE_LIVE);
    lh_peer_unref(peer);
    lh_peer_unref(other);
    lh_lease_unref(lease);
    lh_lease_unref(untouched);
}

static bool torn_list(agent *a, const lh_quote_request *r, lh_evidence *e, lh_buf *facts)
{
    if (r->stream == 0)
        lh_buf_append(facts, "x", 1);
    return other_list(a, r, e, facts);
}

static void test_torn_list(void **unused)
{
    (void)unused;
    agent_stream *s = NULL;
    lh_peer *peer = NULL;
    lh_lease *lease = issued(&web1, 4711, &s, &peer);
    web1.tamper = torn_list;
    assert_string_equal(wait_ended(lease, 3000), "facts-list");
    lh_peer_unref(peer);
    lh_lease_unref(lease);
}

/* Something is measured that the reference values do not know: every lease of the host ends, and none is
 * issued until they know it. */
static void test_drift(void **unused)
{
    (void)unused;
    agent_stream *s = NULL;
    agent_stream *t = NULL;
    lh_peer *peer = NULL;
    lh_peer *other = NULL;
    uint8_t digest[32] = {1}, pcrs[24][32];
    char value[80] = "sha256:";
    lh_lease *lease = issued(&web1, 4711, &s, &peer);
    lh_lease *elsewhere = issued(&web2, 4711, &t, &other);
    assert_lh_ok(lh_tpm_pcr_extend(web1.tpm, 16, digest));
    assert_string_equal(wait_ended(lease, 3000), "evidence-pcr");
    assert_int_equal(lh_lease_state_of(elsewhere), LH_LEASE_LIVE);
    json_t *l = live("web-1");
    const json_t *entry = json_array_get(json_object_get(l, "drift"), 0);
    assert_string_equal(text_of(entry, "kind"), "pcr");
    assert_int_equal(json_integer_value(json_object_get(entry, "pcr")), 16);
    json_decref(l);
    assert_lh_refused(sign_with(peer, "sign"), LH_E_ATTESTATION, "evidence-pcr");
    for (int i = 0; i < 100 && count_events("host.drifted") == 0; i++)
        swtpm_sleep_ms(20);
    assert_int_equal(count_events("host.drifted"), 1); /* the same drift is told once */
    assert_lh_ok(lh_tpm_pcr_read(web1.tpm, 1u << 16, pcrs));
    lh_hex(pcrs[16], 32, value + 7);
    set_reference(value);
    assert_lh_ok(sign_with(peer, "sign"));
    assert_verdict("web-1", "good");
    lh_peer_unref(peer);
    lh_peer_unref(other);
    lh_lease_unref(lease);
    lh_lease_unref(elsewhere);
}

static void suspend(ESYS_CONTEXT *esys)
{
    assert_int_equal(
        Esys_Shutdown(esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_SU_STATE), TSS2_RC_SUCCESS);
}

/* A machine that was asleep, or was resumed from a snapshot: restartCount rises, PCRs are as they were. */
static void test_resumed(void **unused)
{
    (void)unused;
    agent_stream *s = NULL;
    lh_peer *peer = NULL;
    lh_lease *lease = issued(&web2, 4711, &s, &peer);
    agent_deafen(&web2, true);
    agent_stop_chip(&web2);
    swtpm_raw(&web2.chip, suspend);
    swtpm_kill(&web2.chip);
    swtpm_run_as(&web2.chip, "not-need-init,startup-state");
    agent_start_chip(&web2);
    agent_deafen(&web2, false);
    assert_string_equal(wait_ended(lease, 3000), "resumed");
    assert_lh_ok(sign_with(peer, "sign")); /* anew, on the evidence of now */
    lh_peer_unref(peer);
    lh_lease_unref(lease);
}

/* Started anew: resetCount rises, and what was issued before is over although every value is as it was. A TPM
 * that then shows the older count is a copy of it. */
static void test_reboot_and_copy(void **unused)
{
    agent_stream *s = NULL;
    lh_peer *peer = NULL;
    swtpm copy = {.pid = 0};
    char command[256];
    lh_lease *lease = issued(&web2, 4711, &s, &peer);
    snprintf(copy.folder, sizeof(copy.folder), "/tmp/lh-swtpm-XXXXXX");
    assert_non_null(mkdtemp(copy.folder));
    snprintf(command, sizeof(command), "cp %s/tpm2-00.permall %s/", web2.chip.folder, copy.folder);
    agent_deafen(&web2, true);
    agent_stop_chip(&web2);
    swtpm_kill(&web2.chip);
    assert_int_equal(system(command), 0);
    swtpm_run(&web2.chip);
    agent_start_chip(&web2);
    agent_deafen(&web2, false);
    assert_string_equal(wait_ended(lease, 3000), "reboot");
    assert_lh_ok(sign_with(peer, "sign"));
    /* Once more, so that the copy is behind. */
    agent_deafen(&web2, true);
    agent_stop_chip(&web2);
    swtpm_kill(&web2.chip);
    swtpm_run(&web2.chip);
    agent_start_chip(&web2);
    agent_deafen(&web2, false);
    lh_lease_unref(lease);
    lease = remote_lease(s, "sign");
    assert_string_equal(wait_ended(lease, 3000), "reboot");
    assert_lh_ok(sign_with(peer, "sign"));
    swtpm original = web2.chip;
    agent_deafen(&web2, true);
    agent_stop_chip(&web2);
    swtpm_kill(&original);
    swtpm_run(&copy);
    web2.chip = copy;
    agent_start_chip(&web2);
    agent_deafen(&web2, false);
    lh_lease_unref(lease);
    lease = remote_lease(s, "sign");
    assert_string_equal(wait_ended(lease, 3000), "evidence-reset");
    lh_peer_unref(peer);
    lh_lease_unref(lease);
    /* The vault remembers it when it has been started anew. */
    disconnect_both(unused);
    close_vault();
    open_vault();
    connect_both(unused);
    s = agent_open(&web2, 4711);
    peer = agent_peer(s);
    assert_lh_refused(sign_with(peer, "sign"), LH_E_ATTESTATION, "evidence-reset");
    lh_peer_unref(peer);
    agent_disconnect(&web2);
    swtpm_stop(&original);
}

/* --- the vault --------------------------------------------------------------------------------------------
 */

static void test_events_are_few(void **unused)
{
    (void)unused;
    int connected = count_events("host.connected"), refused = count_events("host.evidence-refused");
    for (int i = 0; i < 10; i++) {
        agent_disconnect(&web1);
        agent_connect(&web1);
    }
    agent_stream *s = agent_open(&web1, 4711);
    lh_peer *peer = agent_peer(s);
    web1.tamper = truncated_nonce;
    for (int i = 0; i < 20; i++)
        assert_lh_refused(sign_with(peer, "sign"), LH_E_ATTESTATION, "evidence-format");
    swtpm_sleep_ms(300);
    assert_in_range(count_events("host.connected") - connected, 0, 1);
    assert_in_range(count_events("host.evidence-refused") - refused, 0, 2);
    lh_peer_unref(peer);
}

static void test_restart_of_the_vault(void **unused)
{
    agent_stream *s = NULL;
    lh_peer *peer = NULL;
    uint8_t id[LH_LEASE_ID_SIZE];
    lh_lease *lease = issued(&web1, 4711, &s, &peer);
    memcpy(id, lh_lease_terms_of(lease)->id, sizeof(id));
    disconnect_both(unused);
    lh_peer_unref(peer);
    lh_lease_unref(lease);
    close_vault();
    open_vault();
    assert_int_equal(wait_stored(id, LH_LEASE_ENDED), LH_LEASE_ENDED);
    json_t *l = live("web-1");
    assert_false(json_is_true(json_object_get(l, "connected")));
    json_decref(l);
    connect_both(unused);
    lease = issued(&web1, 4711, &s, &peer);
    lh_lease_unref(lease);
    lh_peer_unref(peer);
}

static void test_sealing_ends_links(void **unused)
{
    (void)unused;
    agent_stream *s = agent_open(&web1, 4711);
    lh_peer *peer = agent_peer(s);
    lh_host_link *link = NULL;
    govern_ok("vault.seal", "{}");
    assert_string_equal(web1.ended, "vault-sealed");
    assert_int_equal(sign_with(peer, "sign").code, LH_E_STATE);
    assert_int_equal(agent_dial(&web1, &link, NULL).code, LH_E_STATE);
    lh_peer_unref(peer);
    govern_ok("vault.unseal", "{}");
}

/* The vault's own host, by the same rule. Last: the vault is sealed to what this changes. */
static void test_own_host(void **unused)
{
    (void)unused;
    char text[1024];
    const uint8_t digest[32] = {1};
    snprintf(text, sizeof(text),
        "trust_domain: test.example\nworkloads:\n  - { id: " ME ", attest: { uid: %u, freshness: 2s } }\n"
        "roles:\n" ROLE("sign", "workload", "ec-p256", "ecdsa-sha256", "") "grants:\n  - { workload: " ME
                                                                           ", role: sign }\n",
        (unsigned)getuid());
    govern_ok("policy.apply", text);
    lh_peer *peer = peer_of(getpid(), answers, NULL);
    assert_lh_ok(sign_with(peer, "sign"));
    lh_lease *lease = lease_of(getpid(), "sign");
    assert_non_null(lease);
    swtpm_sleep_ms(3000);
    assert_int_equal(lh_lease_state_of(lease), LH_LEASE_LIVE); /* nobody asked for it: it was quoted anew */
    assert_lh_ok(lh_tpm_pcr_extend(w.vault->tpm, 7, digest));
    assert_string_equal(wait_ended(lease, 3000), "evidence-pcr");
    lh_peer_unref(peer);
    lh_lease_unref(lease);
}

int main(void)
{
#define FRESH(name) cmocka_unit_test_setup_teardown(name, short_freshness, long_freshness)
    const struct CMUnitTest tests[] = {
        FRESH(test_freshness),
        FRESH(test_unable),
        FRESH(test_link_loss),
        FRESH(test_facts_list),
        FRESH(test_torn_list),
        FRESH(test_drift),
        CASE(test_logs_of_each_link),
        CASE(test_events_are_few),
        CASE(test_restart_of_the_vault),
        CASE(test_sealing_ends_links),
        FRESH(test_resumed),
        FRESH(test_reboot_and_copy),
        cmocka_unit_test(test_own_host),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
