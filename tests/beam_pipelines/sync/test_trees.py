from beam_pipelines.sync.trees import Copy, Tree, TreeFile, find_equal_sizes, is_marker, make_plan, without_folder_names


def tree(*files: TreeFile, left_out: dict[str, list[str]] | None = None) -> Tree:
    return Tree(files={file.name: file for file in files}, left_out=left_out or {})


def test_what_is_missing_or_differs_is_copied_the_largest_first():
    new, grown = TreeFile("new", 1), TreeFile("grown", 9)
    same, changed = TreeFile("same", 5), TreeFile("changed", 5)
    old_grown, old_changed = TreeFile("grown", 8, generation=2), TreeFile("changed", 5, generation=4)
    source = tree(new, grown, same, changed)
    destination = tree(old_grown, TreeFile("same", 5, generation=3), old_changed, TreeFile("extra", 1, generation=5))
    assert [file.name for file, _ in find_equal_sizes(source, destination)] == ["same", "changed"]
    plan = make_plan(source, destination, equal={"same"})
    assert plan.copies == [Copy(grown, old_grown), Copy(changed, old_changed), Copy(new, None)]
    assert [copy.generation for copy in plan.copies] == [2, 4, 0]
    assert (plan.num_unchanged, plan.size_bytes) == (1, 15)
    assert plan.only_in_destination == [TreeFile("extra", 1, generation=5)]


def test_a_name_that_is_left_out_in_the_source_is_not_only_in_the_destination():
    source = tree(TreeFile("a", 1), left_out={"devices and named pipes": ["pipe"]})
    plan = make_plan(source, tree(TreeFile("pipe", 1), TreeFile("b", 1)), equal=set())
    assert [file.name for file in plan.only_in_destination] == ["b"]


def test_of_an_object_with_the_name_of_a_folder_the_folder_is_kept():
    source = tree(TreeFile("a", 1), TreeFile("a/b", 1), TreeFile("a/b/c", 1), TreeFile("ab", 1))
    found = without_folder_names(source)
    assert list(found.files) == ["a/b/c", "ab"]
    assert found.left_out == {"objects that have the name of a folder": ["a", "a/b"]}
    assert without_folder_names(found) is found


def test_a_marker_is_known_by_the_last_part_of_its_name():
    assert is_marker("_SUCCESS") and is_marker("prepared/mine/_SUCCESS")
    assert not is_marker("my_SUCCESS") and not is_marker("_SUCCESS/a")


def test_a_marker_is_copied_anew_where_a_file_below_its_folder_is_copied():
    names = ["a/_SUCCESS", "a/1", "b/_SUCCESS", "b/1", "_SUCCESS", "ab/1", "c/_SUCCESS", "c/1"]
    source = tree(*(TreeFile(name, 1) for name in names))
    old = [TreeFile(name, 1, generation=number) for number, name in enumerate(names, start=1) if name[0] != "c"]
    plan = make_plan(source, tree(*old), equal={file.name for file in old} - {"b/1"})
    assert {file.name for file in plan.outdated_markers} == {"b/_SUCCESS", "_SUCCESS"}
    assert {copy.file.name: copy.generation for copy in plan.copies} == {
        "b/1": 4,
        "b/_SUCCESS": 0,
        "_SUCCESS": 0,
        "c/1": 0,
        "c/_SUCCESS": 0,
    }
    assert plan.num_unchanged == 3
