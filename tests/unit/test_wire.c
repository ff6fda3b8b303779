/* test_wire: messages between ranks. Expected octets are written by hand from the msgpack
   specification; structure is checked a second time by msgpack-c's own object unpacker, which the
   code under test does not use. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <msgpack.h>

#include "common/wire/wire.h"
#include "tests/support/messages.h"
#include "tests/support/seed.h"

static coh_envelope_t const ENV = {.fingerprint = 0x1122334455667788, .sender = 3, .epoch = 200};

#define ENV_OCTETS \
    0x94, 0x01, 0xcf, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x03, 0xcc, 0xc8

/* Reads the first message of a frame given in octets, envelope included. */
static coh_err_t read_first(uint8_t const *frame, size_t n, coh_msg_t *msg)
{
    static coh_wire_reader_t *reader;
    coh_envelope_t env;
    coh_wire_reader_free(reader); /* what was decoded last stays until now */
    reader        = coh_wire_reader_new();
    coh_err_t err = coh_wire_reader_begin(reader, coh_bytes(frame, n), &env);
    return err != COH_OK || msg == NULL ? err : coh_wire_reader_next(reader, msg);
}

#define READ_FIRST(msg, ...)                               \
    (memcpy(octets,                                        \
            (uint8_t[]){ENV_OCTETS, __VA_ARGS__},          \
            sizeof((uint8_t[]){ENV_OCTETS, __VA_ARGS__})), \
     read_first(octets, sizeof((uint8_t[]){ENV_OCTETS, __VA_ARGS__}), msg))

static uint8_t octets[512];

static void wire_encodes_as_specified(void **state)
{
    (void)state;
    coh_buf_t out = COH_BUF_INIT;
    coh_wire_put_envelope(&out, &ENV);
    static uint8_t const ENVELOPE[] = {ENV_OCTETS};
    assert_int_equal(out.n, sizeof(ENVELOPE));
    assert_memory_equal(out.p, ENVELOPE, sizeof(ENVELOPE));

    coh_rec_result_t results[] = {{.tx_idx = 0, .verdict = 0, .status = 1, .gas_used = 21000},
                                  {.tx_idx   = 65536,
                                   .verdict  = 15,
                                   .status   = 0,
                                   .gas_used = 0,
                                   .logs     = coh_bytes("\xc1\xc0", 2)}};
    coh_buf_clear(&out);
    coh_wire_put_vote(
        &out,
        &(coh_msg_vote_t){
            .block = UINT64_C(1) << 40, .yes = 1, .has_redo = 1, .results = {results, 2}});
    static uint8_t const VOTE[] = {
        0x96, 33,                                       /* array of 6, id */
        0xcf, 0,    0, 1, 0, 0,    0,    0,    0,       /* block */
        1,    0,    1,                                  /* yes, reason, has_redo */
        0x92, 0x95, 0, 0, 1, 0xcd, 0x52, 0x08, 0xc4, 0, /* results */
        0x95, 0xce, 0, 1, 0, 0,    15,   0,    0,    0xc4, 2, 0xc1, 0xc0,
    };
    assert_int_equal(out.n, sizeof(VOTE));
    assert_memory_equal(out.p, VOTE, sizeof(VOTE));
    coh_buf_free(&out);
}

static void wire_decodes_as_specified(void **state)
{
    (void)state;
    coh_msg_t m;
    /* READ: every kind but BIN and HASH; integers in widths that we would not choose, which other
       encoders may. */
    assert_int_equal(READ_FIRST(&m,
                                0x9c,
                                17,
                                0xcf,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                7,
                                0xce,
                                0,
                                0,
                                0,
                                9,
                                0xcd,
                                1,
                                0,
                                0xcc,
                                5,
                                4,
                                0xd0,
                                1,
                                0xc4,
                                20,
                                0,
                                1,
                                2,
                                3,
                                4,
                                5,
                                6,
                                7,
                                8,
                                9,
                                10,
                                11,
                                12,
                                13,
                                14,
                                15,
                                16,
                                17,
                                18,
                                19,
                                0xc4,
                                0,
                                6,
                                3,
                                0xc4,
                                2,
                                1,
                                0xff),
                     COH_OK);
    assert_int_equal(m.id, COH_MSG_READ);
    assert_int_equal(m.u.read.block, 7);
    assert_int_equal(m.u.read.attempt, 9);
    assert_int_equal(m.u.read.tx_idx, 256);
    assert_int_equal(m.u.read.incarnation, 5);
    assert_int_equal(m.u.read.read, 4);
    assert_int_equal(m.u.read.kind, 1);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(m.u.read.addr.b[i], i);
    }
    assert_true(coh_u256_is_zero(&m.u.read.slot));
    assert_int_equal(m.u.read.generation, 6);
    assert_int_equal(m.u.read.fields, 3);
    assert_true(coh_u256_eq(&m.u.read.need, &(coh_u256_t){{511, 0, 0, 0}}));
    /* REFUSE: BIN borrows from the frame. */
    assert_int_equal(READ_FIRST(&m, 0x92, 4, 0xc5, 0, 2, 'n', 'o'), COH_OK);
    assert_true(coh_bytes_eq(m.u.refuse.reason, coh_bytes("no", 2)));
    assert_true(m.u.refuse.reason.p > octets && m.u.refuse.reason.p < octets + sizeof(octets));
}

static void wire_refuses_what_does_not_fit(void **state)
{
    (void)state;
    coh_msg_t m;
    assert_int_equal(READ_FIRST(&m, 0x93, 25, 1, 2), COH_OK);            /* WAVE as it should be */
    assert_int_equal(READ_FIRST(&m, 0x92, 25, 1), COH_EMALFORMED);       /* a field less */
    assert_int_equal(READ_FIRST(&m, 0x94, 25, 1, 2, 3), COH_EMALFORMED); /* a field more */
    assert_int_equal(READ_FIRST(&m, 0x90), COH_ETRUNCATED);              /* no id */
    assert_int_equal(READ_FIRST(&m, 0x93, 26, 1, 2), COH_EPROTO);        /* no such message */
    assert_int_equal(READ_FIRST(&m, 0x93, 0xcd, 1, 25, 1, 2),
                     COH_EPROTO); /* nor this: 281 is not 25 */
    assert_int_equal(READ_FIRST(&m, 0x93, 25, 1, 0xcf, 0, 0, 0, 1, 0, 0, 0, 0),
                     COH_EMALFORMED); /* 2^32 as U32 */
    assert_int_equal(READ_FIRST(&m, 0x93, 25, 1, 0xce, 0xff, 0xff, 0xff, 0xff), COH_OK);
    assert_int_equal(m.u.wave.wave, UINT32_MAX);
    assert_int_equal(READ_FIRST(&m, 0x93, 25, 0xff, 2), COH_EMALFORMED); /* -1 */
    assert_int_equal(READ_FIRST(&m, 0x93, 25, 0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0, 2),
                     COH_EMALFORMED);                                                /* INT64_MIN */
    assert_int_equal(READ_FIRST(&m, 0x93, 25, 0xc0, 2), COH_EMALFORMED);             /* nil */
    assert_int_equal(READ_FIRST(&m, 0x93, 25, 0xc3, 2), COH_EMALFORMED);             /* true */
    assert_int_equal(READ_FIRST(&m, 0x93, 25, 0xca, 0, 0, 0, 0, 2), COH_EMALFORMED); /* 0.0 */
    assert_int_equal(READ_FIRST(&m, 0x93, 25, 0x91, 1, 2), COH_EMALFORMED); /* list for a number */
    assert_int_equal(READ_FIRST(&m, 0x93, 25, 0x81, 1, 1, 2), COH_EMALFORMED); /* map */
    assert_int_equal(READ_FIRST(&m, 0x93, 25, 0xc1, 2), COH_EMALFORMED); /* never used by msgpack */
    assert_int_equal(READ_FIRST(&m, 0x93, 25, 0xd4, 1, 1, 2), COH_EMALFORMED); /* extension */
    assert_int_equal(READ_FIRST(&m, 25), COH_EMALFORMED);                      /* no array at all */
    assert_int_equal(READ_FIRST(&m, 0x92, 4, 0xa2, 'n', 'o'), COH_EMALFORMED); /* str for BIN */
    assert_int_equal(READ_FIRST(&m, 0x92, 4, 5), COH_EMALFORMED);              /* number for BIN */
    assert_int_equal(READ_FIRST(&m, 0x92, 4, 0xc6, 0xff, 0xff, 0xff, 0xff, 'n'), COH_ETRUNCATED);
    assert_int_equal(READ_FIRST(&m, 0x92, 4), COH_ETRUNCATED);
}

/* ANSWER with one value whose word is given. */
static coh_err_t read_word(uint8_t const *word, uint8_t n, coh_msg_t *m)
{
    coh_buf_t b                 = COH_BUF_INIT;
    static uint8_t const rest[] = {0xc4, 32, [34] = 0xc4, 0}; /* no code hash, no code */
    coh_buf_put(&b, (uint8_t[]){ENV_OCTETS, 0x95, 49, 1, 2, 0, 0x91, 0x94, 0, 0xc4, n}, 24);
    coh_buf_put(&b, word, n);
    coh_buf_put(&b, rest, sizeof(rest));
    memcpy(octets, b.p, b.n);
    coh_err_t err = read_first(octets, b.n, m);
    coh_buf_free(&b);
    return err;
}

static void wire_numbers_are_canonical(void **state)
{
    (void)state;
    coh_msg_t m;
    uint8_t word[33];
    memset(word, 0xff, sizeof(word));
    assert_int_equal(read_word(word, 32, &m), COH_OK);
    assert_int_equal(m.u.answer.values.cnt, 1);
    assert_int_equal(m.u.answer.values.v[0].word.w[3], UINT64_MAX);
    assert_int_equal(read_word(word, 33, &m), COH_EMALFORMED);
    word[0] = 0;
    assert_int_equal(read_word(word, 32, &m), COH_EMALFORMED);
    assert_int_equal(read_word(word, 1, &m), COH_EMALFORMED);
    assert_int_equal(read_word(word, 0, &m), COH_OK);
    assert_true(coh_u256_is_zero(&m.u.answer.values.v[0].word));
    /* Addresses and hashes have one size: RECOVERED with a hash of 31, an address of 21. */
    coh_buf_t b = COH_BUF_INIT;
    for (uint8_t hash_sz = 31; hash_sz <= 33; hash_sz++) {
        for (uint8_t addr_sz = 19; addr_sz <= 21; addr_sz++) {
            coh_buf_clear(&b);
            coh_buf_put(&b, (uint8_t[]){ENV_OCTETS, 0x93, 51, 1, 0x91, 0x94, 0, 0xc4, hash_sz}, 22);
            memset(coh_buf_extend(&b, hash_sz), 1, hash_sz);
            coh_buf_put(&b, (uint8_t[]){0xc4, addr_sz}, 2);
            memset(coh_buf_extend(&b, addr_sz), 1, addr_sz);
            coh_buf_put(&b, (uint8_t[]){0xc4, 0}, 2);
            assert_true((read_first(b.p, b.n, &m) == COH_OK) == (hash_sz == 32 && addr_sz == 20));
        }
    }
    coh_buf_free(&b);
}

static void wire_lengths_are_checked_before_memory_is_taken(void **state)
{
    (void)state;
    coh_msg_t m;
    /* STATS, QUERY and PUBLISH that claim 2^32-1 records; nothing follows, or far too little. */
    assert_int_equal(READ_FIRST(&m, 0x92, 56, 0xdd, 0xff, 0xff, 0xff, 0xff), COH_ETRUNCATED);
    assert_int_equal(READ_FIRST(&m, 0x94, 48, 1, 2, 0xdd, 0xff, 0xff, 0xff, 0xff, 0x93, 1),
                     COH_ETRUNCATED);
    assert_int_equal(READ_FIRST(&m, 0x94, 19, 1, 1, 0xdc, 0xff, 0xff), COH_ETRUNCATED);
    /* Two records claimed, one there: FIGURE takes two octets at least. */
    assert_int_equal(READ_FIRST(&m, 0x92, 56, 0x92, 0x91, 1), COH_ETRUNCATED);
    assert_int_equal(READ_FIRST(&m, 0x92, 56, 0x92, 0x91, 1, 0x91, 2), COH_OK);
    assert_int_equal(m.u.stats.figures.v[1].v, 2);
    assert_int_equal(READ_FIRST(&m, 0x92, 56, 0x92, 0x91, 1, 0x92, 2, 2), COH_EMALFORMED);
    /* Nesting as deep as the frame. */
    uint8_t deep[1 << 16] = {ENV_OCTETS, 0x92, 56};
    memset(deep + 16, 0x91, sizeof(deep) - 16);
    assert_int_equal(read_first(deep, sizeof(deep), &m), COH_EMALFORMED);
    memset(deep + 14, 0x91, sizeof(deep) - 14);
    assert_int_equal(read_first(deep, sizeof(deep), &m), COH_EMALFORMED);
}

static void wire_envelope_is_checked(void **state)
{
    (void)state;
    coh_wire_reader_t *r = coh_wire_reader_new();
    coh_envelope_t env   = {0};
    coh_msg_t m;
    static uint8_t const GOOD[] = {ENV_OCTETS};
    assert_int_equal(coh_wire_reader_begin(r, coh_bytes(GOOD, sizeof(GOOD)), &env), COH_OK);
    assert_true(env.fingerprint == ENV.fingerprint && env.sender == ENV.sender &&
                env.epoch == ENV.epoch);
    assert_int_equal(coh_wire_reader_next(r, &m), COH_ENOTFOUND);
    assert_int_equal(coh_wire_reader_next(r, &m), COH_ENOTFOUND);
    /* Another version is told apart from damage, even if its envelope has other fields. */
    assert_int_equal(coh_wire_reader_begin(r, coh_bytes(((uint8_t[]){0x92, 2, 0}), 3), &env),
                     COH_EMISMATCH);
    assert_int_equal(coh_wire_reader_next(r, &m), COH_EMISMATCH);
    assert_int_equal(coh_wire_reader_begin(r, coh_bytes(((uint8_t[]){0x93, 1, 0, 0}), 4), &env),
                     COH_EMALFORMED);
    assert_int_equal(coh_wire_reader_begin(r, coh_bytes(NULL, 0), &env), COH_ETRUNCATED);
    for (size_t n = 0; n < sizeof(GOOD); n++) {
        assert_int_equal(coh_wire_reader_begin(r, coh_bytes(GOOD, n), &env), COH_ETRUNCATED);
    }
    coh_wire_reader_free(r);
}

/* Whether msgpack-c's own unpacker sees n octets as exactly one array that begins with id. */
static void expect_one_array(coh_buf_t const *out, size_t from, uint32_t id)
{
    msgpack_unpacked seen;
    msgpack_unpacked_init(&seen);
    size_t at = from;
    assert_int_equal(msgpack_unpack_next(&seen, (char const *)out->p, out->n, &at),
                     MSGPACK_UNPACK_SUCCESS);
    assert_int_equal(at, out->n);
    assert_int_equal(seen.data.type, MSGPACK_OBJECT_ARRAY);
    assert_int_equal(seen.data.via.array.ptr[0].type, MSGPACK_OBJECT_POSITIVE_INTEGER);
    assert_int_equal(seen.data.via.array.ptr[0].via.u64, id);
    msgpack_unpacked_destroy(&seen);
}

static void wire_round_trip_of_every_message(void **state)
{
    coh_rng_t rng;
    coh_rng_seed(&rng, *(uint64_t const *)*state);
    coh_arena_t arena    = COH_ARENA_INIT;
    coh_buf_t out        = COH_BUF_INIT;
    coh_wire_reader_t *r = coh_wire_reader_new();
    for (int round = 0; round < 100; round++) {
        coh_msg_t sent[COH_MSG_ID_MAX];
        coh_msg_t got;
        coh_envelope_t env;
        assert_true(coh_test_msg_cnt <= COH_CNT(sent));
        coh_arena_reset(&arena, SIZE_MAX);
        coh_buf_clear(&out);
        coh_wire_put_envelope(&out, &ENV);
        for (size_t i = 0; i < coh_test_msg_cnt; i++) {
            size_t from = out.n;
            coh_test_msg_random(&sent[i], coh_test_msg_ids[i], &rng, &arena);
            coh_test_msg_put(&out, &sent[i]);
            expect_one_array(&out, from, coh_test_msg_ids[i]);
        }
        assert_int_equal(coh_wire_reader_begin(r, coh_buf_bytes(&out), &env), COH_OK);
        for (size_t i = 0; i < coh_test_msg_cnt; i++) {
            assert_int_equal(coh_wire_reader_next(r, &got), COH_OK);
            assert_true(coh_test_msg_eq(&got, &sent[i]));
        }
        assert_int_equal(coh_wire_reader_next(r, &got), COH_ENOTFOUND);
    }
    coh_wire_reader_free(r);
    coh_buf_free(&out);
    coh_arena_free(&arena);
}

static void wire_every_truncation_is_found(void **state)
{
    coh_rng_t rng;
    coh_rng_seed(&rng, *(uint64_t const *)*state);
    coh_arena_t arena    = COH_ARENA_INIT;
    coh_buf_t out        = COH_BUF_INIT;
    coh_wire_reader_t *r = coh_wire_reader_new();
    for (size_t i = 0; i < coh_test_msg_cnt; i++) {
        coh_msg_t m;
        coh_envelope_t env;
        coh_arena_reset(&arena, SIZE_MAX);
        coh_test_msg_random(&m, coh_test_msg_ids[i], &rng, &arena);
        coh_buf_clear(&out);
        coh_wire_put_envelope(&out, &ENV);
        size_t from = out.n;
        coh_test_msg_put(&out, &m);
        size_t step = 1 + out.n / 2000;
        for (size_t n = from + 1; n < out.n; n += step) {
            /* In memory of exactly n octets, so that a read beyond them does not go unseen by the
               sanitizer. */
            uint8_t *cut = malloc(n);
            assert_non_null(cut);
            memcpy(cut, out.p, n);
            assert_int_equal(coh_wire_reader_begin(r, coh_bytes(cut, n), &env), COH_OK);
            assert_int_equal(coh_wire_reader_next(r, &m), COH_ETRUNCATED);
            free(cut);
        }
    }
    coh_wire_reader_free(r);
    coh_buf_free(&out);
    coh_arena_free(&arena);
}

static void wire_names_routes_and_text(void **state)
{
    (void)state;
    assert_string_equal(coh_wire_msg_name(33), "VOTE");
    assert_string_equal(coh_wire_msg_name(0), "?");
    assert_string_equal(coh_wire_msg_name(26), "?");
    assert_int_equal(coh_wire_route(COH_MSG_VOTE), COH_ROUTE_S2C);
    assert_int_equal(coh_wire_route(COH_MSG_COMMIT), COH_ROUTE_C2S);
    assert_int_equal(coh_wire_route(COH_MSG_PUBLISH), COH_ROUTE_S2S);
    assert_int_equal(coh_wire_route(26), COH_ROUTE_NONE);
    coh_buf_t out = COH_BUF_INIT;
    coh_msg_t m   = {.id = COH_MSG_VOTE, .u.vote = {.block = 7, .yes = 1, .results = {NULL, 12}}};
    coh_wire_print(&out, &m);
    coh_buf_put_u8(&out, 0);
    assert_string_equal((char const *)out.p, "VOTE block=7 yes=1 reason=0 has_redo=0 results=[12]");
    coh_buf_clear(&out);
    m = (coh_msg_t){.id = COH_MSG_REFUSE, .u.refuse = {.reason = coh_bytes("no", 2)}};
    coh_wire_print(&out, &m);
    coh_buf_put_u8(&out, 0);
    assert_string_equal((char const *)out.p, "REFUSE reason=2B");
    coh_buf_free(&out);
}

static void wire_protocol_page_lists_all_messages(void **state)
{
    (void)state;
    static char const SECTION[] = "\n## 7. All messages\n\n";
    coh_buf_t want              = COH_BUF_INIT;
    coh_buf_t page              = COH_BUF_INIT;
    FILE *f                     = fopen(COHORT_SOURCE_DIR "/common/wire/PROTOCOL.md", "rb");
    assert_non_null(f);
    for (int c; (c = fgetc(f)) != EOF;) {
        coh_buf_put_u8(&page, (uint8_t)c);
    }
    assert_int_equal(fclose(f), 0);
    coh_buf_put_u8(&page, 0);
    char const *section = strstr((char const *)page.p, SECTION);
    assert_non_null(section);
    coh_wire_table_markdown(&want);
    coh_buf_put_u8(&want, 0);
    assert_string_equal(section + strlen(SECTION), (char const *)want.p);
    coh_buf_free(&want);
    coh_buf_free(&page);
}

int main(void)
{
    uint64_t seed                   = coh_test_seed();
    void *state                     = &seed;
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(wire_encodes_as_specified),
        cmocka_unit_test(wire_decodes_as_specified),
        cmocka_unit_test(wire_refuses_what_does_not_fit),
        cmocka_unit_test(wire_numbers_are_canonical),
        cmocka_unit_test(wire_lengths_are_checked_before_memory_is_taken),
        cmocka_unit_test(wire_envelope_is_checked),
        cmocka_unit_test_prestate(wire_round_trip_of_every_message, state),
        cmocka_unit_test_prestate(wire_every_truncation_is_found, state),
        cmocka_unit_test(wire_names_routes_and_text),
        cmocka_unit_test(wire_protocol_page_lists_all_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
