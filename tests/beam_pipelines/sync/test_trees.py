from beam_pipelines.sync.trees import Copy, Tree, TreeFile, find_equal_sizes, make_plan, without_folder_names


def tree(*files: TreeFile, left_out: dict[str, list[str]] | None = None) -> Tree:
    return Tree(files={file.name: file for file in files}, left_out=left_out or {})


def test_what_is_missing_or_differs_is_copied_the_largest_first():
    new, grown = TreeFile("new", 1), TreeFile("grown", 9)
    same, changed = TreeFile("same", 5), TreeFile("changed", 5)
    old_grown, old_changed = TreeFile("grown", 8, generation=2), TreeFile("changed", 5, generation=4)
    source = tree(new, grown, same, changed)
    destination = tree(old_grown, TreeFile("same", 5, generation=3), old_changed, TreeFile("extra", 1, generation=5))
    assert [file.name for file, _ in find_equal_sizes(source, destination)] == ["same", "changed"]
    asked: list[str] = []
    plan = make_plan(source, destination, has_same_bytes=lambda name: asked.append(name) or name == "same")
    assert asked == ["same", "changed"]  # no checksum where the sizes differ
    assert plan.copies == [Copy(grown, old_grown), Copy(changed, old_changed), Copy(new, None)]
    assert [copy.generation for copy in plan.copies] == [2, 4, 0]
    assert (plan.num_unchanged, plan.size_bytes) == (1, 15)
    assert plan.only_in_destination == [TreeFile("extra", 1, generation=5)]


def test_a_name_that_is_left_out_in_the_source_is_not_only_in_the_destination():
    source = tree(TreeFile("a", 1), left_out={"devices and named pipes": ["pipe"]})
    plan = make_plan(source, tree(TreeFile("pipe", 1), TreeFile("b", 1)), has_same_bytes=lambda name: False)
    assert [file.name for file in plan.only_in_destination] == ["b"]


def test_of_an_object_with_the_name_of_a_folder_the_folder_is_kept():
    source = tree(TreeFile("a", 1), TreeFile("a/b", 1), TreeFile("a/b/c", 1), TreeFile("ab", 1))
    found = without_folder_names(source)
    assert list(found.files) == ["a/b/c", "ab"]
    assert found.left_out == {"objects that have the name of a folder": ["a", "a/b"]}
    assert without_folder_names(found) is found
