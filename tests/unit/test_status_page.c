/* links: coh_status_page */
#include "deploy/cohort/status_page.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define SOURCE COHORT_SOURCE_DIR "/deploy/cohort/status_page.html"

static coh_status_page_t page;

static int setup(void **state)
{
    (void)state;
    coh_status_page_init(&page);
    return 0;
}

/* What a command of the shell prints, without the last line end. */
static void output_of(char *out, size_t sz, char const *command)
{
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t n = fread(out, 1, sz - 1, pipe);
    assert_int_equal(pclose(pipe), 0);
    while (n > 0 && out[n - 1] == '\n') {
        n--;
    }
    out[n] = '\0';
}

/* The program serves the source, byte for byte. */
static void status_page_is_its_source(void **state)
{
    (void)state;
    FILE *f = fopen(SOURCE, "rb");
    assert_non_null(f);
    static uint8_t text[1 << 20];
    size_t n = fread(text, 1, sizeof(text), f);
    assert_int_equal(fclose(f), 0);
    assert_true(n > 10000 && n < sizeof(text));
    assert_int_equal(page.file.body.n, n);
    assert_memory_equal(page.file.body.p, text, n);
    assert_string_equal(page.file.content_type, "text/html; charset=utf-8");
}

/* The policy names script and style by the hashes that openssl(1) finds. */
static void status_page_policy_has_the_hashes(void **state)
{
    (void)state;
    static char const *const tags[] = {"script", "style"};
    for (size_t i = 0; i < COH_CNT(tags); i++) {
        char command[1024];
        char hash[128];
        char expected[256];
        (void)snprintf(command,
                       sizeof(command),
                       "perl -0777 -ne 'print $1 if m{<%s>(.*?)</%s>}s' '" SOURCE
                       "' | openssl dgst -sha256 -binary | openssl base64",
                       tags[i],
                       tags[i]);
        output_of(hash, sizeof(hash), command);
        assert_int_equal(strlen(hash), 44);
        (void)snprintf(expected, sizeof(expected), "; %s-src 'sha256-%s'; ", tags[i], hash);
        if (strstr(page.file.policy, expected) == NULL) {
            fail_msg("no %s in %s", expected, page.file.policy);
        }
    }
    assert_int_equal(strncmp(page.file.policy, "default-src 'none'; ", 20), 0);
    assert_null(strstr(page.file.policy, "unsafe"));
    assert_null(strstr(page.file.policy, "http"));
}

static void status_page_etag_is_quoted(void **state)
{
    (void)state;
    char hash[128];
    char expected[256];
    output_of(hash, sizeof(hash), "openssl dgst -sha256 -binary '" SOURCE "' | openssl base64");
    (void)snprintf(expected, sizeof(expected), "\"%s\"", hash);
    assert_string_equal(page.file.etag, expected);
}

/* Nothing in it refers to another place, but for the name of SVG's namespace and its icon, which is in the page. */
static void status_page_refers_to_nobody(void **state)
{
    (void)state;
    char out[4096];
    output_of(
        out,
        sizeof(out),
        "grep -oE '[a-z]+://[^\"'\"'\"' )>]+|(src|href|action)=\"[^\"]*|url\\(' '" SOURCE
        "' | grep -vE '^http://www.w3.org/2000/svg$|^href=\"(status|metrics|data:.*)$' || true");
    assert_string_equal(out, "");
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(status_page_is_its_source),
        cmocka_unit_test(status_page_policy_has_the_hashes),
        cmocka_unit_test(status_page_etag_is_quoted),
        cmocka_unit_test(status_page_refers_to_nobody),
    };
    return cmocka_run_group_tests_name("status_page", tests, setup, NULL);
}
