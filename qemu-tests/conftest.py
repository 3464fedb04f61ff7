"""Options, the build of all images before the first test, and the last line: `N passed, N failed`."""
import qemu


def pytest_addoption(parser):
    parser.addoption("--arch", choices=qemu.ARCHS, action="append", help="only this architecture")


def archs(config):
    return config.getoption("--arch") or qemu.ARCHS


def pytest_sessionstart(session):
    """In the process that hands out the tests: builds everything, unless -k picks a few."""
    config = session.config
    if hasattr(config, "workerinput") or config.option.collectonly or config.option.keyword:
        return
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    qemu.build_once(archs(config), reporter.write_line)


def pytest_generate_tests(metafunc):
    config = metafunc.config
    if "case" in metafunc.fixturenames:
        cases = list(qemu.cases(archs(config)))
        metafunc.parametrize("case", cases, ids=[case["id"] for case in cases])
    if "arch" in metafunc.fixturenames:
        metafunc.parametrize("arch", archs(config))
    if "pc_arch" in metafunc.fixturenames:
        metafunc.parametrize("pc_arch", [arch for arch in archs(config) if qemu.BOARDS[arch] == "pc"])
    if "tables_case" in metafunc.fixturenames:
        cases = list(qemu.cases(archs(config), monitor=True))
        metafunc.parametrize("tables_case", cases, ids=[case["id"] for case in cases], scope="module")


def pytest_unconfigure(config):
    if hasattr(config, "workerinput") or config.option.collectonly:
        return
    stats = config.pluginmanager.get_plugin("terminalreporter").stats

    def count(*kinds):
        return sum(len(stats.get(kind, [])) for kind in kinds)

    skipped = count("skipped", "xfailed")
    line = f"{count('passed')} passed, {count('failed', 'error', 'xpassed')} failed"
    print(line + (f", {skipped} skipped" if skipped else ""), flush=True)
