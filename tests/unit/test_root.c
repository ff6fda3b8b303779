/* Roots of tries in memory. Expected roots are those of Ethereum's published TrieTests, and of a list what npm's @ethereumjs/trie makes of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/codec/block.h"
#include "common/trie/root.h"
#include "tests/support/data.h"

typedef struct {
    char const *key;
    char const *value;
} pair_t;

static coh_bytes_t text(char const *s) { return coh_bytes(s, strlen(s)); }

static void expect(pair_t const *pairs, size_t cnt, char const *plain, char const *secure)
{
    coh_root_item_t items[8];
    assert_true(cnt <= COH_CNT(items));
    for (size_t i = 0; i < cnt; i++) {
        items[i] = (coh_root_item_t){.key = text(pairs[i].key), .value = text(pairs[i].value)};
    }
    coh_hash_t root;
    coh_hash_t want = coh_test_hash(secure);
    coh_root_secure(&root, items, cnt);
    assert_memory_equal(root.b, want.b, sizeof(want.b));
    qsort(items, cnt, sizeof(*items), coh_root_compare);
    coh_root_sorted(&root, items, cnt);
    want = coh_test_hash(plain);
    assert_memory_equal(root.b, want.b, sizeof(want.b));
}

static void root_of_nothing(void **state)
{
    (void)state;
    coh_hash_t root;
    coh_root_sorted(&root, NULL, 0);
    assert_memory_equal(root.b, COH_EMPTY_TRIE_ROOT.b, sizeof(root.b));
    coh_root_secure(&root, NULL, 0);
    assert_memory_equal(root.b, COH_EMPTY_TRIE_ROOT.b, sizeof(root.b));
    coh_root_list(&root, NULL, 0);
    assert_memory_equal(root.b, COH_EMPTY_TRIE_ROOT.b, sizeof(root.b));
}

/* A leaf alone; values in branches; nodes embedded in their parents, in branches and extensions. */
static void root_of_published_pairs(void **state)
{
    (void)state;
    static pair_t const single[] = {{"A", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}};
    static pair_t const dogs[]   = {{"doe", "reindeer"}, {"dog", "puppy"}, {"dogglesworth", "cat"}};
    static pair_t const puppy[]  = {
         {"do", "verb"}, {"horse", "stallion"}, {"doge", "coin"}, {"dog", "puppy"}};
    static pair_t const foo[]   = {{"foo", "bar"}, {"food", "bass"}};
    static pair_t const small[] = {{"be", "e"}, {"dog", "puppy"}, {"bed", "d"}};
    static pair_t const testy[] = {{"test", "test"}, {"te", "testy"}};
    expect(single,
           COH_CNT(single),
           "0xd23786fb4a010da3ce639d66d5e904a11dbc02746d1ce25029e53290cabf28ab",
           "0xe9e2935138352776cad724d31c9fa5266a5c593bb97726dd2a908fe6d53284df");
    expect(dogs,
           COH_CNT(dogs),
           "0x8aad789dff2f538bca5d8ea56e8abe10f4c7ba3a5dea95fea4cd6e7c3a1168d3",
           "0xd4cd937e4a4368d7931a9cf51686b7e10abb3dce38a39000fd7902a092b64585");
    expect(puppy,
           COH_CNT(puppy),
           "0x5991bb8c6514148a29db676a14ac506cd2cd5775ace63c30a4fe457715e9ac84",
           "0x29b235a58c3c25ab83010c327d5932bcf05324b7d6b1185e650798034783ca9d");
    expect(foo,
           COH_CNT(foo),
           "0x17beaa1648bafa633cda809c90c04af50fc8aed3cb40d16efbddee6fdf63c4c3",
           "0x1385f23a33021025d9e87cca5c66c00de06178807b96a9acc92b7d651ccde842");
    expect(small,
           COH_CNT(small),
           "0x3f67c7a47520f79faa29255d2d3c084a7a6df0453116ed7232ff10277a8be68b",
           "0x826a4f9f9054a3e980e54b20da992c24fa20467f1ca635115ef4917be66e746f");
    expect(testy,
           COH_CNT(testy),
           "0x8452568af70d8d140f58d941338542f645fcca50094b20f3c3d8c3df49337928",
           "0xaea54fb6c80499674248a462864c420c9d9f3b3d38c879c12425bade1ad76552");
}

/* Index 0 is keyed 0x80 and index 128 0x8180: the order of keys is not that of indexes. */
static void root_of_a_list(void **state)
{
    (void)state;
    enum { CNT = 200 };
    uint8_t octets[CNT][40];
    coh_bytes_t values[CNT];
    for (size_t i = 0; i < CNT; i++) {
        memset(octets[i], (int)i, sizeof(octets[i]));
        values[i] = coh_bytes(octets[i], 1 + i % sizeof(octets[i]));
    }
    static struct {
        size_t cnt;
        char const *root;
    } const want[] = {
        {1, "0x7da536f7df63a0dfb481590e53be0e3063d9b798925cc3d479a3eb3155d0b394"},
        {2, "0x47a291e1f0920ea2b564d3d828c0f3a4691bc9f2b15813c5a3a3e7e3d6bd17ef"},
        {129, "0x348c5a76e430d703e4d02e80941e91081af2211e693d506e08efa096c2566ac4"},
        {CNT, "0x09f3ef3772261d6fa788bf21d351a88d96c9ca902badf5a0931af21df2bb16cd"},
    };
    for (size_t i = 0; i < COH_CNT(want); i++) {
        coh_hash_t root;
        coh_hash_t expected = coh_test_hash(want[i].root);
        coh_root_list(&root, values, want[i].cnt);
        assert_memory_equal(root.b, expected.b, sizeof(root.b));
    }
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(root_of_nothing),
        cmocka_unit_test(root_of_published_pairs),
        cmocka_unit_test(root_of_a_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
