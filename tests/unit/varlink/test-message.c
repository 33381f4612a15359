// SPDX-License-Identifier: GPL-2.0-or-later
/* What is JSON, what is a call, what are its parameters: and what is none of these. */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "varlink/json.h"
#include "varlink/message.h"
#include "varlink/params.h"

#define TEXT_AND_LENGTH(text) (text), sizeof(text) - 1

static json_object *parse(const char *text)
{
	json_object *message = NULL;
	const char *why = NULL;

	if (varlink_message_parse(text, strlen(text), &message, &why) != 0)
		fail_msg("%s: %s", text, why);
	return message;
}

static void test_malformed(void **state)
{
	static const char *const texts[] = {
		"",
		" ",
		"x",
		"5",
		"\"string\"",
		"null",
		"true",
		"[]",
		"{",
		"{}}",
		"{} {}",
		"{},",
		"{\"a\"}",
		"{\"a\":}",
		"{\"a\":1,}",
		"{\"a\":01}",
		"{\"a\":+1}",
		"{\"a\":nul}",
		"{\"a\":NULL}",
		"{\"a\":True}",
		"{\"a\":NaN}",
		"{\"a\":-Infinity}",
		"{\"a\":-}",
		"{\"a\":-01}",
		"{\"a\":1.}",
		"{\"a\":.5}",
		"{\"a\":1e}",
		"{\"a\":1e+}",
		"{\"a\":0x1}",
		"{\"a\":[1,]}",
		"{\"a\":[,1]}",
		"{\"a\":[1 2]}",
		"{\"a\":[1}",
		"{\"a\":{]}",
		"{\"a\" 1}",
		"{a:1}",
		"{'a':1}",
		"{\"a\":'b'}",
		"{\"a\":\"\\x\"}",
		"{\"a\":\"\\u12g4\"}",
		"{\"a\":\"\\",
		"{\"a\":\"tab\there\"}",
		"{\"a\":\"line\nend\"}",
		"{} // comment",
		"{/**/}",
		"{\"a\":\"unfinished}",
		"{\"a\":\"\xff\xfe\"}",
		"{\"a\":\"\xc0\x80\"}",
		"{\"a\":\"\xe0\x9f\xbf\"}",
		"{\"a\":\"\xed\xa0\x80\"}",
		"{\"a\":\"\xf4\x90\x80\x80\"}",
		"{\"a\":\"\xf8\x88\x80\x80\x80\"}",
		"{\"a\":\"\x80\"}",
		"{\"a\":\"\xc3",
		"/* comment */ {}",
		"{\"a\":[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		json_object *message = NULL;
		const char *why = NULL;

		if (varlink_message_parse(texts[i], strlen(texts[i]), &message, &why) != -EBADMSG)
			fail_msg("taken: %s", texts[i]);
		assert_null(message);
		assert_non_null(why);
	}
}

static void test_depth(void **state)
{
	char text[2 * 1000 + 8] = "{\"a\":";
	json_object *message;
	const char *why;

	memset(text + 5, '[', 1000);
	assert_int_equal(varlink_message_parse(text, strlen(text), &message, &why), -EBADMSG);
	assert_string_equal(why, "nested too deep");
	json_object_put(parse("{\"a\":[[[[[[[[[[[[[[{\"b\":1}]]]]]]]]]]]]]]}"));
	assert_int_equal(varlink_message_parse(TEXT_AND_LENGTH("{\"a\":[[[[[[[[[[[[[[[{}"
							       "]]]]]]]]]]]]]]]}"),
					       &message, &why),
			 -EBADMSG);
	assert_string_equal(why, "nested too deep");
}

/* All that JSON has. */
static void test_well_formed(void **state)
{
	static const char *const texts[] = {
		"{}",
		" { } ",
		"\t{\r\n\"\" : [ ] }\n",
		"{\"a\":[],\"b\":{},\"c\":[{},{\"d\":[0]}]}",
		"{\"a\":[true,false,null]}",
		"{\"a\":[0,-0,10,-10,0.5,-0.5,1e5,1E+5,1.25e-5,9223372036854775807]}",
		"{\"a\":[99999999999999999999999,-99999999999999999999999,1e999]}",
		"{\"a\":\"\\\" \\\\ \\/ \\b\\f\\n\\r\\t \\u00e9 \\uD83D\\uDE00\"}",
		"{\"caf\xc3\xa9\":\"\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\"}",
		"{\"a\":\"\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\"}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		json_object_put(parse(texts[i]));
}

/* A text may be followed by what is none of it, and have a NUL in it. */
static void test_length(void **state)
{
	json_object *message = NULL;
	const char *why;

	assert_int_equal(varlink_message_parse("{}}", 2, &message, &why), 0);
	json_object_put(message);
	assert_int_equal(varlink_message_parse(TEXT_AND_LENGTH("{}\0"), &message, &why), -EBADMSG);
	assert_int_equal(varlink_message_parse(TEXT_AND_LENGTH("{\"a\":\"\0\"}"), &message, &why),
			 -EBADMSG);
	assert_int_equal(varlink_message_parse(TEXT_AND_LENGTH("{\"a\0b\":1}"), &message, &why),
			 -EBADMSG);
}

static void test_call(void **state)
{
	_cleanup_(varlink_call_done) struct varlink_call call = { 0 };
	const char *field = NULL;

	assert_int_equal(
		varlink_call_from_message(parse("{\"method\":\"a.b.C\",\"more\":true,\"x\":[]}"),
					  &call, &field),
		0);
	assert_string_equal(call.method, "a.b.C");
	assert_true(call.more);
	assert_false(call.oneway);
	assert_null(call.parameters);

	varlink_call_done(&call);
	assert_int_equal(varlink_call_from_message(parse(" {\"parameters\":{},\"oneway\":true,"
							 "\"more\":null,\"method\":\"M\"}\n"),
						   &call, &field),
			 0);
	assert_non_null(call.parameters);
	assert_true(call.oneway);
	assert_false(call.more);
}

static void test_not_a_call(void **state)
{
	static const struct {
		const char *text, *field;
	} cases[] = {
		{ "{}", "method" },
		{ "{\"method\":null}", "method" },
		{ "{\"method\":1}", "method" },
		{ "{\"method\":\"a\\u0000b\"}", "method" },
		{ "{\"method\":\"a.B\",\"parameters\":[]}", "parameters" },
		{ "{\"method\":\"a.B\",\"parameters\":\"\"}", "parameters" },
		{ "{\"method\":\"a.B\",\"more\":1}", "more" },
		{ "{\"method\":\"a.B\",\"oneway\":\"true\"}", "oneway" },
		{ "{\"method\":\"a.B\",\"upgrade\":true}", "upgrade" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct varlink_call call;
		const char *field = NULL;

		assert_int_equal(varlink_call_from_message(parse(cases[i].text), &call, &field),
				 -EINVAL);
		assert_string_equal(field, cases[i].field);
	}
}

struct params {
	const char *name;
	struct varlink_int count;
	struct varlink_int any;
	bool flag;
};

static const struct varlink_field fields[] = {
	VARLINK_FIELD("name", VARLINK_STRING, struct params, name),
	VARLINK_FIELD("count", VARLINK_INT, struct params, count, .optional = true, .min = 1,
		      .max = INT_MAX),
	VARLINK_FIELD("any", VARLINK_INT, struct params, any, .optional = true, .min = INT64_MIN,
		      .max = INT64_MAX),
	VARLINK_FIELD("flag", VARLINK_BOOL, struct params, flag, .optional = true),
	{ 0 },
};

static void test_params(void **state)
{
	_cleanup_json_ json_object *all = parse(
		"{\"any\":9223372036854775807,\"count\":2147483647,\"flag\":true,"
		"\"unknown\":{\"x\":[1]},\"name\":\"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\"}");
	_cleanup_json_ json_object *least = parse("{\"name\":\"\",\"count\":null}");
	struct params p = { 0 };
	const char *field = NULL;

	assert_int_equal(varlink_params_decode(all, fields, &p, &field), 0);
	assert_string_equal(p.name, "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80");
	assert_true(p.count.given);
	assert_int_equal(p.count.value, INT_MAX);
	assert_true(p.any.given);
	assert_true(p.any.value == INT64_MAX);
	assert_true(p.flag);

	p = (struct params){ 0 };
	assert_int_equal(varlink_params_decode(least, fields, &p, &field), 0);
	assert_string_equal(p.name, "");
	assert_false(p.count.given);
	assert_false(p.flag);

	assert_int_equal(varlink_params_decode(NULL, NULL, NULL, &field), 0);
	assert_int_equal(varlink_params_decode(NULL, fields, &p, &field), -EINVAL);
	assert_string_equal(field, "name");
}

static void test_bad_params(void **state)
{
	static const struct {
		const char *text, *field;
	} cases[] = {
		{ "{}", "name" },
		{ "{\"name\":null}", "name" },
		{ "{\"name\":7}", "name" },
		{ "{\"name\":[\"x\"]}", "name" },
		{ "{\"name\":\"cut\\u0000short\"}", "name" },
		{ "{\"name\":\"x\",\"count\":0}", "count" },
		{ "{\"name\":\"x\",\"count\":-1}", "count" },
		{ "{\"name\":\"x\",\"count\":2147483648}", "count" },
		{ "{\"name\":\"x\",\"count\":1.0}", "count" },
		{ "{\"name\":\"x\",\"count\":1e3}", "count" },
		{ "{\"name\":\"x\",\"count\":\"1\"}", "count" },
		{ "{\"name\":\"x\",\"count\":true}", "count" },
		{ "{\"name\":\"x\",\"any\":9223372036854775808}", "any" },
		{ "{\"name\":\"x\",\"any\":99999999999999999999999}", "any" },
		{ "{\"name\":\"x\",\"any\":-9223372036854775809}", "any" },
		{ "{\"name\":\"x\",\"any\":-99999999999999999999999}", "any" },
		{ "{\"name\":\"x\",\"flag\":1}", "flag" },
		{ "{\"name\":\"x\",\"flag\":\"true\"}", "flag" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_json_ json_object *object = parse(cases[i].text);
		struct params p = { 0 };
		const char *field = NULL;

		if (varlink_params_decode(object, fields, &p, &field) != -EINVAL)
			fail_msg("taken: %s", cases[i].text);
		assert_string_equal(field, cases[i].field);
	}
}

static void assert_text(json_object *message, const char *expected)
{
	assert_string_equal(json_object_to_json_string_ext(message, JSON_C_TO_STRING_PLAIN),
			    expected);
	json_object_put(message);
}

static void test_building(void **state)
{
	assert_text(varlink_call_to_message("a.B", json_object_new_object(), false),
		    "{\"method\":\"a.B\",\"parameters\":{}}");
	assert_text(varlink_call_to_message("a.B", json_object_new_object(), true),
		    "{\"method\":\"a.B\",\"parameters\":{},\"more\":true}");
	assert_text(varlink_reply_to_message(json_object_new_object(), false),
		    "{\"parameters\":{}}");
	assert_text(varlink_reply_to_message(json_object_new_object(), true),
		    "{\"parameters\":{},\"continues\":true}");
	assert_text(varlink_error_to_message("a.E", json_object_new_object()),
		    "{\"error\":\"a.E\",\"parameters\":{}}");
	/* No memory for the parameters is not the same as none. */
	assert_null(varlink_reply_to_message(NULL, false));
	assert_null(varlink_error_to_message("a.E", NULL));
	assert_int_equal(varlink_json_set(NULL, "x", json_object_new_int(1)), -ENOMEM);
}

static void test_reply(void **state)
{
	_cleanup_(varlink_reply_done) struct varlink_reply reply = { 0 };
	const char *field = NULL;

	assert_int_equal(
		varlink_reply_from_message(parse("{\"continues\":true,\"parameters\":{\"a\":1}}"),
					   &reply, &field),
		0);
	assert_true(reply.continues);
	assert_null(reply.error);
	assert_non_null(reply.parameters);
	varlink_reply_done(&reply);

	assert_int_equal(varlink_reply_from_message(parse("{\"error\":\"a.E\"}"), &reply, &field),
			 0);
	assert_string_equal(reply.error, "a.E");
	varlink_reply_done(&reply);

	assert_int_equal(varlink_reply_from_message(parse("{\"error\":1}"), &reply, &field),
			 -EINVAL);
	assert_string_equal(field, "error");
	assert_int_equal(varlink_reply_from_message(parse("{\"parameters\":1}"), &reply, &field),
			 -EINVAL);
	assert_string_equal(field, "parameters");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_malformed),   cmocka_unit_test(test_depth),
		cmocka_unit_test(test_well_formed), cmocka_unit_test(test_length),
		cmocka_unit_test(test_call),	    cmocka_unit_test(test_not_a_call),
		cmocka_unit_test(test_params),	    cmocka_unit_test(test_bad_params),
		cmocka_unit_test(test_building),    cmocka_unit_test(test_reply),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
