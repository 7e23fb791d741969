/* foreign: whose an object is that is not ours, and whether it may be taken over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "k8s-apply/foreign.h"

#define OTHER "applyset-other-v1"

static jv parse(const char *text)
{
	struct err err = ERR_INIT;
	jv v = jvx_parse(text, strlen(text), &err);

	assert_true(jvx_is(v, JV_KIND_OBJECT));
	return v;
}

static void assert_words(const char *metadata, const char *words, bool is_free)
{
	cleanup_free char *text = xasprintf("{\"metadata\":{%s}}", metadata);
	cleanup_jv jv object = parse(text);
	cleanup_free char *said = NULL;
	struct ownership own;
	bool said_free;

	ownership_init(&own, "meshpipe", "mesh");
	said = foreign_words(&own, object, &said_free);
	ownership_release(&own);
	assert_string_equal(said, words);
	assert_int_equal(said_free, is_free);
}

static void what_nobody_owns_is_free(void **state UNUSED)
{
	assert_words("\"name\":\"a\"", "it is there and was not made by this set", true);
	assert_words("\"managedFields\":[{\"manager\":\"tests\",\"operation\":\"Apply\"}]",
		"it is there and was not made by this set (but by 'tests')", true);
}

static void what_another_set_has_is_not(void **state UNUSED)
{
	assert_words("\"labels\":{\"" OWNERSHIP_LABEL "\":\"" OTHER "\"}",
		"it belongs to another set (" OTHER ")", false);
	assert_words("\"labels\":{\"" OWNERSHIP_LABEL "\":\"" OTHER "\"},\"managedFields\":["
		     "{\"manager\":\"kubectl\",\"operation\":\"Update\"},"
		     "{\"manager\":\"meshpipe-green\",\"operation\":\"Apply\"}]",
		"it belongs to another set, 'green' (" OTHER ")", false);
	/* Somebody took the label from it. */
	assert_words("\"annotations\":{\"" OWNERSHIP_MARK "\":\"1.2.3.4\"},\"managedFields\":["
		     "{\"manager\":\"meshpipe-green\",\"operation\":\"Apply\"}]",
		"it belongs to another set, 'green' (by its mark; the label is gone)", false);
}

static void what_else_somebody_decides_about_is_not(void **state UNUSED)
{
	assert_words("\"ownerReferences\":[{\"kind\":\"Gateway\",\"name\":\"g\"}]",
		"it belongs to Gateway 'g' (ownerReferences)", false);
	assert_words("\"deletionTimestamp\":\"2026-01-01T00:00:00Z\"",
		"it is there, was not made by this set, and is being deleted", false);
	assert_words("\"annotations\":{\"meshpipe.io/reconcile\":\"disabled\"}",
		"it is there, was not made by this set, and 'meshpipe.io/reconcile' is 'disabled' "
		"on it",
		false);
}

static void a_copy_of_ours_is_free(void **state UNUSED)
{
	cleanup_free char *metadata = NULL;
	struct ownership own;

	ownership_init(&own, "meshpipe", "mesh");
	metadata = xasprintf("\"labels\":{\"" OWNERSHIP_LABEL
			     "\":\"%s\"},\"annotations\":{\"" OWNERSHIP_MARK "\":\"1.2\"}",
		own.id);
	ownership_release(&own);
	assert_words(metadata, "it is there and was not made by this set", true);
}

static void assert_writer(const char *fields, const char *expected)
{
	cleanup_free char *text = xasprintf("{\"metadata\":{\"managedFields\":[%s]}}", fields);
	cleanup_jv jv object = parse(text);
	cleanup_free char *writer = NULL;
	struct ownership own;

	ownership_init(&own, "meshpipe", "mesh");
	writer = foreign_writer(&own, object);
	ownership_release(&own);
	if (expected == NULL)
		assert_null(writer);
	else
		assert_string_equal(writer, expected);
}

static void the_last_writer_but_us_is_known(void **state UNUSED)
{
	static const char ours[] = "{\"manager\":\"meshpipe-meshpipe\",\"operation\":\"Apply\","
				   "\"time\":\"2026-01-01T00:00:09Z\"}";
	cleanup_free char *three = xasprintf(
		"{\"manager\":\"new\",\"operation\":\"Update\","
		"\"time\":\"2026-01-01T00:00:08Z\"},%s,{\"manager\":\"old\",\"operation\":"
		"\"Update\",\"time\":\"2026-01-01T00:00:07Z\"}",
		ours);

	assert_writer("", NULL);
	assert_writer(ours, NULL);
	assert_writer(three, "new");
	assert_writer("{\"manager\":\"timeless\"}", "timeless");
}

static void assert_fields(const char *status, const char *expected)
{
	cleanup_free char *fields = foreign_fields(status, strlen(status));

	if (expected == NULL)
		assert_null(fields);
	else
		assert_string_equal(fields, expected);
}

#define CAUSE(manager, field)                                                                      \
	"{\"reason\":\"FieldManagerConflict\",\"message\":\"conflict with \\\"" manager            \
	"\\\" using v1\",\"field\":\"" field "\"}"

static void fields_of_others_are_named(void **state UNUSED)
{
	assert_fields("{\"kind\":\"Status\",\"details\":{\"causes\":[" CAUSE(
			      "kubectl", ".spec.hosts") "]}}",
		"field .spec.hosts belongs to 'kubectl'");
	assert_fields("{\"details\":{\"causes\":[" CAUSE("a", ".b") "," CAUSE("c", ".d") "," CAUSE(
			      "e", ".f") "," CAUSE("g", ".h") "," CAUSE("i", ".j") "]}}",
		"field .b belongs to 'a', field .d belongs to 'c', field .f belongs to 'e', and 2 "
		"more");
	assert_fields("{\"details\":{\"causes\":[{\"reason\":\"FieldManagerConflict\"}]}}",
		"field ? belongs to '?'");
	assert_fields("{\"details\":{\"causes\":[{\"reason\":\"FieldValueInvalid\"}]}}", NULL);
	assert_fields("{\"message\":\"the object has been modified\"}", NULL);
	assert_fields("no json", NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_nobody_owns_is_free),
		cmocka_unit_test(what_another_set_has_is_not),
		cmocka_unit_test(what_else_somebody_decides_about_is_not),
		cmocka_unit_test(a_copy_of_ours_is_free),
		cmocka_unit_test(the_last_writer_but_us_is_known),
		cmocka_unit_test(fields_of_others_are_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
