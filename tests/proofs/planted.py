"""Bugs to plant, one place each, with the tests that must find it.

The old text of each must stand in its file exactly once: a proof that can no longer be planted fails. A test
named for a bug is one of the ordinary tests, quick, and passes where nothing is planted.
"""

from __future__ import annotations

from dataclasses import dataclass

GUNZIP = "tests/sources/test_gunzip.py"
DISCOVER = "tests/sources/test_discover.py"
JUDGE = "tests/bronze/test_judge.py"
PARSE = "tests/bronze/test_parse.py"
LAND = "tests/bronze/test_land.py"
MAPPED = "tests/bronze/test_mapped.py"
RUNS = "tests/pipeline/test_runs.py"
KILLS = "tests/proofs/test_kill_matrix.py"
COMMIT = "tests/tables/test_commit.py"
BROKEN = "tests/laws/test_broken.py"
CASES = "tests/test_cases.py"
ENGINE = "tests/test_engine.py"
LOCAL = "tests/storage/test_local.py"
ANSWERS = "tests/serve/test_answers.py"
DATABASE = "tests/serve/test_analytics_db.py"
CLI = "tests/test_cli.py"


@dataclass(frozen=True)
class Bug:
    """One change to one file below `src/eventmint`, and the tests of which at least one must fail by it."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


BUGS = (
    Bug(
        "skip the CRC",
        "sources/gunzip.py",
        'if (crc, length & 0xFFFFFFFF) != struct.unpack("<II", self._exactly(8)):',
        'if length & 0xFFFFFFFF != struct.unpack("<II", self._exactly(8))[1]:',
        (f"{GUNZIP}::test_a_wrong_crc_or_length_alone_is_refused",),
    ),
    Bug(
        "skip the length check",
        "sources/gunzip.py",
        'if (crc, length & 0xFFFFFFFF) != struct.unpack("<II", self._exactly(8)):',
        'if crc != struct.unpack("<II", self._exactly(8))[0]:',
        (f"{GUNZIP}::test_a_wrong_crc_or_length_alone_is_refused",),
    ),
    Bug(
        "read the first member only",
        "sources/gunzip.py",
        "            if not self._next_member_follows():\n                return\n",
        "            return\n",
        (f"{GUNZIP}::test_all_members_are_read_empty_ones_too",),
    ),
    Bug(
        "no limit on what a byte unfolds to",
        "sources/gunzip.py",
        "MAX_RATIO = 500",
        "MAX_RATIO = 10**9",
        (f"{GUNZIP}::test_a_bomb_is_refused_in_bounded_memory",),
    ),
    Bug(
        "no settle rule",
        "sources/discover.py",
        "(young if abs(now - item[1].st_mtime) < settle_seconds else settled).append(item)",
        "settled.append(item)",
        (f"{DISCOVER}::test_a_file_that_grows_is_left_for_the_next_run",),
    ),
    Bug(
        "act on half a listing",
        "sources/discover.py",
        "os.walk(base, onerror=fail, followlinks=False)",
        "os.walk(base, followlinks=False)",
        (f"{DISCOVER}::test_half_a_listing_is_never_acted_on",),
    ),
    Bug(
        "follow a link out of the source",
        "sources/discover.py",
        "status = path.stat() if not path.is_symlink() else None",
        "status = path.stat()",
        (f"{DISCOVER}::test_links_pipes_and_folders_are_passed_over_with_a_reason",),
    ),
    Bug(
        "timestamp cast: the judge drops the offset",
        "bronze/judge.py",
        'instant_us += -offset_us if match[9] == "+" else offset_us',
        "instant_us += 0 * offset_us",
        (f"{JUDGE}::test_an_example_has_the_values_of_the_oracle",),
    ),
    Bug(
        "timestamp cast: the statement drops the offset",
        "bronze/parse.py",
        '"timestamp": "TIMESTAMPTZ",',
        '"timestamp": "TIMESTAMP",',
        (f"{PARSE}::test_many_values_of_a_class_are_exact",),
    ),
    Bug(
        "forgiving parser: NaN is a number",
        "bronze/judge.py",
        "parse_constant=_refuse_constant",
        "parse_constant=Number",
        (f"{JUDGE}::test_what_rfc_8259_refuses_is_refused_anywhere_in_a_line",),
    ),
    Bug(
        "forgiving parser: the last of two keys wins",
        "bronze/judge.py",
        "if _has_duplicate_key(event):",
        "if not event and _has_duplicate_key(event):",
        (f"{JUDGE}::test_an_example_of_the_contract_is_judged_as_written",),
    ),
    Bug(
        "only the first reason is kept",
        "bronze/judge.py",
        'return Verdict(", ".join(reasons))',
        "return Verdict(reasons[0])",
        (f"{JUDGE}::test_an_example_of_the_contract_is_judged_as_written",),
    ),
    Bug(
        "a price is rounded",
        "bronze/judge.py",
        "    if exact != price:\n",
        "    if exact.is_nan():\n",
        (f"{JUDGE}::test_an_example_of_the_contract_is_judged_as_written",),
    ),
    Bug(
        "a price passes through a float",
        "bronze/judge.py",
        "price = decimal_of(value)",
        "price = Decimal(repr(float(value) * 3 / 3))",
        (f"{JUDGE}::test_any_number_is_judged_like_the_oracle",),
    ),
    Bug(
        "the limit on a line's length is ignored",
        "bronze/judge.py",
        "if len(line) > rules.max_line_bytes:",
        "if len(line) > 1 << 30:",
        (f"{LAND}::test_a_line_of_the_largest_size_lands_and_one_byte_more_does_not",),
    ),
    Bug(
        "unknown fields are dropped",
        "bronze/judge.py",
        "to_json(event) if event else None",
        "None",
        (f"{JUDGE}::test_numbers_of_unknown_fields_are_kept_to_the_last_digit",),
    ),
    Bug(
        "blank lines are not counted",
        "bronze/parse.py",
        "        self.blank_count += len(positions) - len(left)\n",
        "",
        (f"{PARSE}::test_every_line_is_a_row_or_blank",),
    ),
    Bug(
        "the bytes of a quarantined line are lost",
        "bronze/parse.py",
        "return (*[None] * 10, verdict.problem, line_number, line)",
        'return (*[None] * 10, verdict.problem, line_number, b"")',
        (f"{PARSE}::test_a_quarantined_line_keeps_its_number_and_its_bytes",),
    ),
    Bug(
        "another format: a line of several products counts as one",
        "bronze/mapped.py",
        "            self.line_count += len(verdicts) - 1\n",
        "",
        (f"{MAPPED}::test_every_line_is_accounted_for_wherever_a_block_ends",),
    ),
    Bug(
        "another format: of two equal products of an order one is lost",
        "bronze/mapped.py",
        "        quantities += [] if quantity is None else [quantity]\n",
        "        quantities[:] = [] if quantity is None else [quantity]\n",
        (f"{MAPPED}::test_an_order_is_an_event_per_product_and_loses_no_piece",),
    ),
    Bug(
        "another format: the good products of a bad line count",
        "bronze/mapped.py",
        "        if bad:\n",
        "        if len(bad) == len(verdicts):\n",
        (f"{MAPPED}::test_one_bad_product_quarantines_the_whole_line",),
    ),
    Bug(
        "another format: an instant passes through a float",
        "bronze/mapped_fields.py",
        "count = Decimal(text)",
        "count = Decimal(float(text))",
        (f"{MAPPED}::test_every_unit_says_the_same_instant_to_the_microsecond",),
    ),
    Bug(
        "another format: a text becomes a number though nobody said so",
        "bronze/mapped_fields.py",
        'if kind == "number" and is_text(value):',
        'if kind in ("number", "as_is") and is_text(value):',
        (f"{MAPPED}::test_an_event_has_the_verdict_that_it_has_in_the_contracts_own_words",),
    ),
    Bug(
        "the last line needs a newline",
        "bronze/land.py",
        "        elif self._rest:\n            yield self._rest\n",
        "",
        (f"{LAND}::test_lines_are_those_of_a_plain_split_however_the_bytes_are_cut",),
    ),
    Bug(
        "a corrupt file leaves its rows behind",
        "bronze/land.py",
        "    except BaseException:\n        output.discard()\n        raise\n",
        "    except BaseException:\n        output.close()\n        raise\n",
        (f"{LAND}::test_a_file_that_is_corrupt_at_its_end_leaves_nothing_behind",),
    ),
    Bug(
        "duplicate content is counted twice",
        "bronze/ledger.py",
        "return sha256 in self._counted",
        "return sha256 == str(self)",
        (f"{RUNS}::test_a_content_that_comes_again_brings_no_event",),
    ),
    Bug(
        "the ledger is written first",
        "pipeline.py",
        "run.commit(bronze, events, stamp, add=[landed.parquet for landed in outcomes if landed.parquet])\n"
        "    entries = [landed.entry for landed in outcomes]\n"
        "    run.replaced += sum(_replaces(run.ledger, entry) for entry in entries)\n"
        "    write_ledger(run, table, shape, entries, stamp.seq, stamp.batch)\n",
        "entries = [landed.entry for landed in outcomes]\n"
        "    run.replaced += sum(_replaces(run.ledger, entry) for entry in entries)\n"
        "    write_ledger(run, table, shape, entries, stamp.seq, stamp.batch)\n    "
        "run.commit(bronze, events, stamp, add=[landed.parquet for landed in outcomes if landed.parquet])\n",
        (f"{KILLS}::test_the_next_run_ends_where_the_killed_one_would_have[0]",),
    ),
    Bug(
        "the ledger is not completed from bronze",
        "pipeline.py",
        "    if seq_of(bronze) <= seq_of(table):\n        return\n    landed",
        "    if seq_of(bronze) <= seq_of(table) + 1:\n        return\n    landed",
        (f"{KILLS}::test_the_next_run_ends_where_the_killed_one_would_have[0]",),
    ),
    Bug(
        "books are not repaired after a crash",
        "pipeline.py",
        "    if seq_of(table) == seq_of(silver):\n        return\n    changes",
        "    if seq_of(table) <= seq_of(silver):\n        return\n    changes",
        (f"{KILLS}::test_the_next_run_ends_where_the_killed_one_would_have[1]",),
    ),
    Bug(
        "a batch is not planned again after a conflict",
        "pipeline.py",
        "            if attempt == _REPLANS:\n                raise\n",
        "            return\n",
        (f"{COMMIT}::test_a_run_that_meets_a_conflict_plans_again_and_finishes",),
    ),
    Bug(
        "a conflict is answered with the old handle",
        "pipeline.py",
        "            run.catalog.forget()\n",
        "",
        (f"{COMMIT}::test_a_run_that_meets_a_conflict_plans_again_and_finishes",),
    ),
    Bug(
        "events of a replaced file are kept",
        "pipeline.py",
        "came, gone = after - before, before - after",
        "came, gone = after - before, before - before",
        (f"{RUNS}::test_a_replaced_file_counts_in_its_latest_version_only_and_may_go_back",),
    ),
    Bug(
        "silver is appended without looking at what it holds",
        "silver/refine.py",
        'session.find_at_times("maybe_rivals", fields, "held", "probe", lookup)',
        'session.table("maybe_rivals", f"SELECT {fields} FROM held WHERE false")',
        (f"{RUNS}::test_late_and_early_files_in_any_order_give_the_answers_of_the_oracle",),
    ),
    Bug(
        "twins that differ in price are one event",
        "silver/refine.py",
        '"survivors", f"SELECT DISTINCT {_FIELDS} FROM candidates EXCEPT',
        '"survivors", f"SELECT DISTINCT ON (event_time, user_id) {_FIELDS} FROM candidates EXCEPT',
        (f"{RUNS}::test_honest_twins_stay_and_are_counted_as_key_conflicts",),
    ),
    Bug(
        "of a key the first to arrive survives",
        "silver/refine.py",
        "ORDER BY {_ORDER}, is_held DESC",
        "ORDER BY is_held DESC, {_ORDER}",
        (f"{RUNS}::test_a_smaller_line_that_comes_later_replaces_the_survivor",),
    ),
    Bug(
        "days of gold are appended, not replaced",
        "pipeline.py",
        "remove=[*replaced, *too_old]",
        "remove=too_old",
        (f"{RUNS}::test_late_and_early_files_in_any_order_give_the_answers_of_the_oracle",),
    ),
    Bug(
        "float money in an hour",
        "gold/models/product_hours/model.sql",
        "THEN sign * amount ELSE 0 END) AS revenue",
        "THEN sign * CAST(amount AS DOUBLE) ELSE 0 END) AS revenue",
        (f"{CASES}::test_case_of_gold",),
    ),
    Bug(
        "float money in an event",
        "silver/models/events_cleaned/model.sql",
        "CAST(CAST(price AS DECIMAL(25, 6)) * CAST(quantity AS DECIMAL(10, 0)) AS DECIMAL(25, 6))",
        "CAST(CAST(price AS DOUBLE) * CAST(quantity AS DOUBLE) AS DECIMAL(25, 6))",
        (f"{CASES}::test_case_of_silver_is_what_the_oracle_says", f"{CASES}::test_case_of_silver"),
    ),
    Bug(
        "users of a day are summed over its deliveries",
        "gold/models/daily_users/model.sql",
        "    WHERE held_set.event_date = seen.event_date AND held_set.user_id = seen.user_id\n",
        "    WHERE held_set.event_date = seen.event_date AND held_set.user_id = seen.user_id AND 1 = 0\n",
        (f"{CASES}::test_case_of_gold",),
    ),
    Bug(
        "a missing category is dropped",
        "gold/models/category_performance/model.sql",
        "FROM product_hours\n",
        "FROM product_hours\nWHERE category IS NOT NULL\n",
        (f"{CASES}::test_case_of_gold",),
    ),
    Bug(
        "ties of the top ten go either way",
        "gold/models/top_products/model.sql",
        "ORDER BY view_count DESC, product_id ASC) AS place",
        "ORDER BY view_count DESC, product_id DESC) AS place",
        (f"{CASES}::test_case_of_gold",),
    ),
    Bug(
        "a rate over nothing is a number",
        "gold/models/conversion_funnel/model.sql",
        "/ NULLIF(CAST(totals.views AS DOUBLE), 0) AS view_to_cart_rate",
        "/ CAST(totals.views AS DOUBLE) AS view_to_cart_rate",
        (f"{CASES}::test_case_of_gold",),
    ),
    Bug(
        "commit retries 4",
        "tables/catalog.py",
        '"commit.retry.num-retries": "0"',
        '"commit.retry.num-retries": "4"',
        (f"{COMMIT}::test_every_table_refuses_to_retry_a_commit_on_its_own",),
    ),
    Bug(
        "an unknown outcome is taken for a failure",
        "tables/commit.py",
        "if _is_taken(table, contract, mark):",
        "if _is_taken(table, contract, mark) and not mark:",
        (f"{COMMIT}::test_a_commit_whose_reply_is_lost_is_found_and_not_repeated",),
    ),
    Bug(
        "files are deleted when a commit fails",
        "tables/commit.py",
        '        raise TryAgain(f"{contract.table}: the commit failed: {err}.", "Run again.") from err\n',
        "        for data_file in data_files:\n"
        "            Path(address(data_file.file_path)).unlink()\n"
        '        raise TryAgain(f"{contract.table}: the commit failed: {err}.", "Run again.") from err\n',
        (f"{COMMIT}::test_a_commit_that_fails_leaves_its_files_in_place",),
    ),
    Bug(
        "a stamp may go back",
        "tables/commit.py",
        "    if stamp.seq < seq_of(table):\n",
        "    if stamp.seq < 0:\n",
        (f"{COMMIT}::test_a_stamp_never_goes_back",),
    ),
    Bug(
        "NULL in a required column is let in",
        "tables/commit.py",
        'if column.required and (nulls := noted["null_value_counts"].get(column.id, 0)):',
        'if column.required and (nulls := noted["null_value_counts"].get(-1, 0)):',
        (f"{COMMIT}::test_null_in_a_required_column_is_refused",),
    ),
    Bug(
        "no fsync of a file",
        "engine/parquet.py",
        "            os.fsync(handle.fileno())\n",
        "            handle.fileno()\n",
        (f"{ENGINE}::test_a_file_is_on_disk_before_it_has_its_name",),
    ),
    Bug(
        "no fsync of a folder",
        "storage/local.py",
        "            os.fsync(handle)\n",
        "            pass\n",
        (f"{LOCAL}::test_the_folders_of_moved_files_are_synced_after_the_moves",),
    ),
    Bug(
        "the lock is not taken",
        "storage/local.py",
        "fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)",
        "fcntl.flock(handle, fcntl.LOCK_UN)",
        (f"{RUNS}::test_a_second_run_at_the_same_time_is_refused_and_does_no_harm",),
    ),
    Bug(
        "what a killed run had staged is not cleaned away",
        "storage/local.py",
        "    shutil.rmtree(place, ignore_errors=True)\n    folder = place / uuid.uuid4().hex\n",
        "    folder = place / uuid.uuid4().hex\n",
        (f"{LOCAL}::test_a_fresh_folder_has_nothing_of_the_one_before",),
    ),
    Bug(
        "the database is written in place",
        "serve/analytics_db.py",
        "        fresh.replace(database)\n",
        "        shutil.copyfile(fresh, database)\n",
        (f"{DATABASE}::test_a_file_that_a_reader_has_open_is_never_written_to",),
    ),
    Bug(
        "a broken law is published",
        "lake.py",
        "        if not broken:\n            self._publish(facts, anew=has_past)\n        elif",
        "        self._publish(facts, anew=has_past)\n        if broken and",
        (
            f"{BROKEN}::test_a_run_that_breaks_a_law_fails_with_table_day_and_difference",
            f"{BROKEN}::test_the_next_empty_run_still_refuses_and_publishes_nothing",
        ),
    ),
    Bug(
        "a quote ends a text",
        "engine/duckdb_engine.py",
        'return "\'" + text.replace("\'", "\'\'") + "\'"',
        'return "\'" + text + "\'"',
        (f"{ENGINE}::test_quoted_text_stays_text",),
    ),
    Bug(
        "a SELECT may carry what writes",
        "serve/answers.py",
        "_node_types(json.loads(row[0])) <= _READING_NODES",
        "bool(_node_types(json.loads(row[0])))",
        (f"{ANSWERS}::test_a_hostile_statement_is_refused_and_leaves_no_trace",),
    ),
    Bug(
        "a query may read files",
        "serve/answers.py",
        '            "SET enable_external_access = false",\n',
        "",
        (f"{ANSWERS}::test_a_hostile_statement_is_refused_and_leaves_no_trace",),
    ),
    Bug(
        "a query that was stopped is told as one that is wrong",
        "serve/limits.py",
        "        is_over.set()\n",
        "",
        (f"{ANSWERS}::test_a_query_is_stopped_when_its_time_is_over",),
    ),
    Bug(
        "a spreadsheet runs what a shopper wrote",
        "serve/formats.py",
        'return f"\'{text}" if text.startswith(_FORMULA_STARTS) else text',
        "return text",
        (f"{CLI}::test_query_prints_csv_that_no_spreadsheet_runs",),
    ),
    Bug(
        "a terminal obeys what a shopper wrote",
        "serve/streams.py",
        "    if text.isprintable():\n        return text\n",
        "    if text:\n        return text\n",
        (f"{CLI}::test_hostile_text_is_shown_never_executed",),
    ),
)
