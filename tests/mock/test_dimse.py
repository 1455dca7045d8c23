"""The DIMSE face of the mock, as DCMTK and pynetdicom see it."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pydicom.data
import pytest
from anyio.from_thread import start_blocking_portal
from pydicom import Dataset
from pynetdicom import AE, build_role, evt

from asyncdicom.errors import ConfigError
from asyncdicom.mock import DimseOptions, DimseServer, FolderArchive
from asyncdicom.protocol.dimse.sop_classes import PATIENT_ROOT, STUDY_ROOT
from tests.mock.dimse_support import archive_of, dataset_of, datasets_of, served
from tests.support.peers import require_peer
from tests.support.processes import free_port, stop, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pynetdicom.association import Association

    from asyncdicom.mock.archive import Archive

ARCHIVE = archive_of()
STUDY = ARCHIVE.studies[0]
TRUTH = datasets_of(ARCHIVE)
EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
RLE, JPEG_2000 = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.90"
CT, SR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.88.11"
WORD = "1.2.840.10008.5.1.4.1.1.7.3"


@pytest.fixture(scope="module")
def server() -> Iterator[DimseServer]:
    with start_blocking_portal() as portal, served(portal, ARCHIVE) as mock:
        yield mock


def dcmtk(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a program of DCMTK to its end."""
    require_peer("dcmtk")
    return subprocess.run(
        list(map(str, words)), capture_output=True, text=True, timeout=15, check=False
    )


def address(server: DimseServer, called_ae: str = "MOCK") -> list[str]:
    return ["-aec", called_ae, "127.0.0.1", str(server.port)]


def keys(**pairs: str) -> list[str]:
    return [word for name, value in pairs.items() for word in ("-k", f"{name}={value}")]


def stored_in(folder: Path) -> dict[str, bytes]:
    """Return data sets by SOP Instance UID."""
    files = [path for path in folder.iterdir() if path.is_file()]
    contents = {str(pydicom.dcmread(path).SOPInstanceUID): path.read_bytes() for path in files}
    assert len(contents) == len(files)
    return {uid: dataset_of(content) for uid, content in contents.items()}


def test_echoscu_verifies(server: DimseServer) -> None:
    assert dcmtk("echoscu", *address(server)).returncode == 0


def test_a_wrong_called_ae_title_is_refused(server: DimseServer) -> None:
    done = dcmtk("echoscu", *address(server, "OTHER"))
    assert done.returncode != 0
    assert "Called AE Title Not Recognized" in done.stderr


def test_findscu_finds_each_study(server: DimseServer) -> None:
    query = keys(QueryRetrieveLevel="STUDY", StudyInstanceUID="", NumberOfStudyRelatedInstances="")
    done = dcmtk("findscu", "-v", "-S", *query, *address(server))
    assert done.stderr.count("(0020,1208) IS [6 ]") + done.stdout.count("(0020,1208) IS [6 ]") == 3


@pytest.mark.parametrize("root", ["-S", "-P"])
def test_getscu_gets_the_bytes_as_they_are(server: DimseServer, tmp_path: Path, root: str) -> None:
    query = keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=STUDY.study_instance_uid)
    done = dcmtk("getscu", root, "+B", "-od", tmp_path, *query, *address(server))
    assert done.returncode == 0, done.stderr
    assert stored_in(tmp_path) == TRUTH


@contextmanager
def receiving(folder: Path) -> Iterator[int]:
    """Run DCMTK's receiver."""
    require_peer("dcmtk")
    port = free_port()
    log = folder.with_suffix(".log")
    folder.mkdir()
    with log.open("wb") as output:
        words = ["storescp", "-aet", "STORE", "+B", "-od", str(folder), str(port)]
        process = subprocess.Popen(words, stdout=output, stderr=output)
        try:
            wait_until(
                lambda: dcmtk("echoscu", "127.0.0.1", str(port)).returncode == 0,
                process,
                deadline_s=10,
                log=log,
            )
            yield port
        finally:
            stop(process)


def test_movescu_moves_the_bytes_as_they_are(tmp_path: Path) -> None:
    series = STUDY.all_series[1]
    query = keys(
        QueryRetrieveLevel="SERIES",
        StudyInstanceUID=STUDY.study_instance_uid,
        SeriesInstanceUID=series.series_instance_uid,
    )
    folder = tmp_path / "store"
    with receiving(folder) as port, start_blocking_portal() as portal:
        destinations = {"STORE": ("127.0.0.1", port)}
        with served(portal, ARCHIVE, destinations=destinations) as mock:
            done = dcmtk("movescu", "-S", "-aem", "STORE", *query, *address(mock))
    assert done.returncode == 0, done.stderr
    uids = [instance.sop_instance_uid for instance in series.instances]
    assert stored_in(folder) == {uid: TRUTH[uid] for uid in uids}


def test_storescu_stores_the_bytes_as_they_are(server: DimseServer, tmp_path: Path) -> None:
    instance = STUDY.all_series[0].instances[0]
    path = tmp_path / "one.dcm"
    path.write_bytes(b"".join(map(bytes, instance.file())))
    assert dcmtk("storescu", *address(server), path).returncode == 0
    kept = server.received[-1]
    assert kept.request.sop_instance_uid == instance.sop_instance_uid
    assert kept.request.transfer_syntax == EXPLICIT
    # storescu writes sequences and groups in its own way, but pixels are pixels.
    assert kept.dataset[-512:] == TRUTH[instance.sop_instance_uid][-512:]


@contextmanager
def scu(
    server: DimseServer, *classes: tuple[str, str], handlers: Any = ()
) -> Iterator[Association]:
    """Associate by pynetdicom; storage classes with their transfer syntaxes, as SCP."""
    entity = AE(ae_title="PYNET")
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 10
    for model in (STUDY_ROOT, PATIENT_ROOT):
        for sop_class in (model.find, model.get, model.move):
            entity.add_requested_context(sop_class, [EXPLICIT, IMPLICIT])
    for sop_class, syntax in classes:
        entity.add_requested_context(sop_class, syntax)
    roles: list[Any] = [
        build_role(one, scp_role=True) for one in dict.fromkeys(one for one, _ in classes)
    ]
    association = entity.associate(
        "127.0.0.1", server.port, ae_title="MOCK", ext_neg=roles, evt_handlers=list(handlers)
    )
    assert association.is_established
    try:
        yield association
    finally:
        association.release()


def found(server: DimseServer, root: str, **query: str) -> list[Dataset]:
    identifier = Dataset()
    for name, value in query.items():
        setattr(identifier, name, value)
    with scu(server) as association:
        answers = list(association.send_c_find(identifier, root))
    assert answers[-1][0].Status == 0x0000, f"{answers[-1][0].Status:04X}"
    return [dataset for _, dataset in answers if dataset is not None]


UIDS = [study.study_instance_uid for study in ARCHIVE.studies]
SERIES = [series.series_instance_uid for series in STUDY.all_series]
INSTANCES = [i.sop_instance_uid for series in STUDY.all_series for i in series.instances]


@pytest.mark.parametrize(
    ("level", "query", "count"),
    [
        pytest.param("STUDY", {}, 3, id="universal"),
        pytest.param("STUDY", {"PatientName": "*"}, 3, id="a star alone"),
        pytest.param("STUDY", {"StudyInstanceUID": UIDS[1]}, 1, id="single value"),
        pytest.param("STUDY", {"AccessionNumber": "ACC000000002"}, 1, id="single text"),
        pytest.param("STUDY", {"AccessionNumber": "nothing"}, 0, id="no match"),
        pytest.param("STUDY", {"StudyInstanceUID": "\\".join(UIDS[:2])}, 2, id="list of UIDs"),
        pytest.param("STUDY", {"PatientName": "synth*^patient000?"}, 3, id="wildcards in a name"),
        pytest.param("STUDY", {"PatientID": "SYN000000001"}, 2, id="studies of a patient"),
        pytest.param("STUDY", {"StudyDate": "20200102-20200103"}, 2, id="range"),
        pytest.param("STUDY", {"StudyDate": "-20200102"}, 2, id="range without a beginning"),
        pytest.param("STUDY", {"StudyDate": "20200103-"}, 1, id="range without an end"),
        pytest.param("STUDY", {"ModalitiesInStudy": "CT"}, 3, id="a computed key"),
        pytest.param("SERIES", {"StudyInstanceUID": UIDS[0]}, 2, id="series of a study"),
        pytest.param("SERIES", {}, 6, id="series of all studies"),
        pytest.param("SERIES", {"SeriesInstanceUID": SERIES[1]}, 1, id="a series by itself"),
        pytest.param(
            "IMAGE",
            {"StudyInstanceUID": UIDS[0], "SeriesInstanceUID": SERIES[0]},
            3,
            id="instances of a series",
        ),
        pytest.param("IMAGE", {"StudyInstanceUID": UIDS[0]}, 6, id="instances of a study"),
        pytest.param(
            "IMAGE",
            {"StudyInstanceUID": UIDS[0], "SOPInstanceUID": "\\".join(INSTANCES[:4:3])},
            2,
            id="a list of instances",
        ),
        pytest.param("IMAGE", {"InstanceNumber": "2", "StudyInstanceUID": UIDS[0]}, 2, id="number"),
    ],
)
def test_what_matches(server: DimseServer, level: str, query: dict[str, str], count: int) -> None:
    assert len(found(server, STUDY_ROOT.find, QueryRetrieveLevel=level, **query)) == count


def test_answers_hold_what_was_asked_for(server: DimseServer) -> None:
    wanted = dict.fromkeys(["StudyDate", "PatientComments", "NumberOfStudyRelatedSeries"], "")
    wanted |= {"NumberOfStudyRelatedInstances": "", "RetrieveAETitle": ""}
    query = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": UIDS[0], **wanted}
    (answer,) = found(server, STUDY_ROOT.find, **query)
    assert set(answer.dir()) == set(query)
    assert answer.StudyDate == "20200101"
    assert answer.PatientComments is None or answer.PatientComments == ""
    assert (answer.NumberOfStudyRelatedSeries, answer.NumberOfStudyRelatedInstances) == (2, 6)
    assert answer.RetrieveAETitle == "MOCK"


def test_names_come_with_their_character_set(server: DimseServer) -> None:
    query = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": UIDS[0], "PatientName": ""}
    (answer,) = found(server, STUDY_ROOT.find, **query)
    assert answer.SpecificCharacterSet == "ISO_IR 192"
    assert answer.PatientName.ideographic == "合成^患者0001"


def test_series_are_counted(server: DimseServer) -> None:
    query = {"StudyInstanceUID": UIDS[0], "NumberOfSeriesRelatedInstances": ""}
    answers = found(server, STUDY_ROOT.find, QueryRetrieveLevel="SERIES", **query)
    assert [answer.NumberOfSeriesRelatedInstances for answer in answers] == [3, 3]


def test_patients_are_listed_once(server: DimseServer) -> None:
    query = {"PatientID": "", "NumberOfPatientRelatedStudies": ""}
    answers = found(server, PATIENT_ROOT.find, QueryRetrieveLevel="PATIENT", **query)
    told = [(answer.PatientID, answer.NumberOfPatientRelatedStudies) for answer in answers]
    assert told == [("SYN000000001", 2), ("SYN000000002", 1)]


@pytest.mark.parametrize("lists", [True, False])
def test_sop_classes_in_study_are_an_option(lists: bool) -> None:  # noqa: FBT001 -- a parameter
    query = {"QueryRetrieveLevel": "STUDY", "SOPClassesInStudy": ""}
    archive = archive_of(mixed=True, studies=1, instances=1)
    with (
        start_blocking_portal() as portal,
        served(portal, archive, lists_sop_classes=lists) as mock,
    ):
        (answer,) = found(mock, STUDY_ROOT.find, **query)
    assert list(answer.SOPClassesInStudy or []) == (sorted([CT, WORD, SR]) if lists else [])


@pytest.mark.parametrize(
    ("root", "query", "status"),
    [
        pytest.param(STUDY_ROOT, {"QueryRetrieveLevel": "PATIENT"}, 0xA900, id="no such level"),
        pytest.param(STUDY_ROOT, {"PatientID": "X"}, 0xA900, id="no level at all"),
    ],
)
def test_identifiers_that_fit_no_model_are_refused(
    server: DimseServer, root: Any, query: dict[str, str], status: int
) -> None:
    identifier = Dataset()
    for name, value in query.items():
        setattr(identifier, name, value)
    with scu(server) as association:
        ((answer, _),) = association.send_c_find(identifier, root.find)
    assert answer.Status == status


def test_keys_of_levels_above_can_be_demanded() -> None:
    identifier = Dataset()
    identifier.QueryRetrieveLevel, identifier.SeriesInstanceUID = "SERIES", SERIES[0]
    with (
        start_blocking_portal() as portal,
        served(portal, ARCHIVE, is_relational=False) as mock,
        scu(mock) as association,
    ):
        ((refused, _),) = association.send_c_find(identifier, STUDY_ROOT.find)
        identifier.StudyInstanceUID = UIDS[0]
        answers = list(association.send_c_find(identifier, STUDY_ROOT.find))
    assert refused.Status == 0xA900
    assert len(answers) == 2


class Receiver:
    """Keeps what is sent by C-STORE to a pynetdicom association."""

    def __init__(self) -> None:
        self.datasets: dict[str, bytes] = {}

    def __call__(self, event: Any) -> int:
        request = event.request
        self.datasets[str(request.AffectedSOPInstanceUID)] = request.DataSet.getvalue()
        return 0x0000


def retrieved(
    server: DimseServer, *classes: tuple[str, str], level: str = "STUDY", **query: str
) -> tuple[list[Dataset], list[Any], dict[str, bytes]]:
    """Get by pynetdicom; return statuses, identifiers of responses, and data sets."""
    identifier = Dataset()
    identifier.QueryRetrieveLevel = level
    for name, value in query.items():
        setattr(identifier, name, value)
    receiver = Receiver()
    with scu(server, *classes, handlers=[(evt.EVT_C_STORE, receiver)]) as association:
        responses = list(association.send_c_get(identifier, STUDY_ROOT.get))
    statuses = [status for status, _ in responses]
    return statuses, [one for _, one in responses], receiver.datasets


@pytest.mark.parametrize(
    ("level", "query", "uids"),
    [
        pytest.param("STUDY", {"StudyInstanceUID": UIDS[0]}, INSTANCES, id="study"),
        pytest.param("SERIES", {"SeriesInstanceUID": SERIES[1]}, INSTANCES[3:], id="series"),
        pytest.param("IMAGE", {"SOPInstanceUID": INSTANCES[2]}, INSTANCES[2:3], id="instance"),
        pytest.param("IMAGE", {"SOPInstanceUID": INSTANCES[1:4]}, INSTANCES[1:4], id="instances"),
        pytest.param("STUDY", {"StudyInstanceUID": "1.2.3"}, [], id="nothing"),
    ],
)
def test_pynetdicom_gets_each_level(
    server: DimseServer, level: str, query: dict[str, str], uids: list[str]
) -> None:
    statuses, _, datasets = retrieved(server, (CT, EXPLICIT), level=level, **query)
    assert datasets == {uid: TRUTH[uid] for uid in uids}
    assert statuses[-1].Status == 0x0000
    assert statuses[-1].NumberOfCompletedSuboperations == len(uids)
    remaining = [status.NumberOfRemainingSuboperations for status in statuses[:-1]]
    assert remaining == list(range(len(uids)))[::-1]


def test_each_instance_travels_as_it_is_stored() -> None:
    archive = archive_of(mixed=True, studies=1, instances=2)
    classes = [(CT, EXPLICIT), (WORD, EXPLICIT), (CT, RLE), (WORD, JPEG_2000), (SR, EXPLICIT)]
    uid = archive.studies[0].study_instance_uid
    with start_blocking_portal() as portal, served(portal, archive) as mock:
        statuses, _, datasets = retrieved(mock, *classes, StudyInstanceUID=uid)
    assert statuses[-1].Status == 0x0000
    assert datasets == datasets_of(archive)


def test_what_the_peer_cannot_take_fails_and_is_named_and_the_rest_is_sent() -> None:
    archive = archive_of(mixed=True, studies=1, instances=2)
    uid = archive.studies[0].study_instance_uid
    compressed = [i.sop_instance_uid for i in archive.studies[0].all_series[2].instances]
    classes = [(CT, EXPLICIT), (WORD, EXPLICIT), (WORD, JPEG_2000), (SR, EXPLICIT)]
    with start_blocking_portal() as portal, served(portal, archive) as mock:
        statuses, identifiers, datasets = retrieved(mock, *classes, StudyInstanceUID=uid)
    assert statuses[-1].Status == 0xB000
    assert statuses[-1].NumberOfFailedSuboperations == 2
    assert list(identifiers[-1].FailedSOPInstanceUIDList) == compressed
    truth = datasets_of(archive)
    assert datasets == {uid: truth[uid] for uid in truth if uid not in compressed}


def test_a_folder_is_served_byte_by_byte() -> None:
    folder = Path(pydicom.data.__file__).parent / "test_files" / "dicomdirtests"
    archive = FolderArchive.index(folder)
    with start_blocking_portal() as portal, served(portal, archive) as mock:
        answers = found(mock, STUDY_ROOT.find, QueryRetrieveLevel="STUDY", StudyInstanceUID="")
        uid = archive.studies[0].study_instance_uid
        kinds = {kind_of(i) for s in archive.studies[0].all_series for i in s.instances}
        _, _, datasets = retrieved(mock, *kinds, StudyInstanceUID=uid)
    assert len(answers) == len(archive.studies)
    assert datasets == datasets_of(archive)


def kind_of(instance: Any) -> tuple[str, str]:
    meta = pydicom.dcmread(instance.path, stop_before_pixels=True).file_meta
    return str(meta.MediaStorageSOPClassUID), str(meta.TransferSyntaxUID)


def moved(destinations: dict[str, tuple[str, int]], archive: Archive = ARCHIVE) -> list[Dataset]:
    identifier = Dataset()
    identifier.QueryRetrieveLevel, identifier.StudyInstanceUID = "STUDY", UIDS[0]
    with (
        start_blocking_portal() as portal,
        served(portal, archive, destinations=destinations) as mock,
        scu(mock) as association,
    ):
        return [s for s, _ in association.send_c_move(identifier, "DEST", STUDY_ROOT.move)]


def test_an_unknown_destination_is_said() -> None:
    assert [status.Status for status in moved({})] == [0xA801]


def test_a_destination_that_is_not_there_fails_all_sub_operations() -> None:
    (final,) = moved({"DEST": ("127.0.0.1", free_port())})
    assert final.Status == 0xA702
    assert final.NumberOfFailedSuboperations == 6


def test_a_move_tells_who_asked_for_it() -> None:
    received: list[Any] = []

    def keep(event: Any) -> int:
        received.append(event.request)
        return 0x0000

    entity = AE(ae_title="DEST")
    entity.add_supported_context(CT, EXPLICIT)
    receiver = entity.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, keep)]
    )
    assert receiver is not None
    try:
        statuses = moved({"DEST": ("127.0.0.1", receiver.server_address[1])})
    finally:
        receiver.shutdown()
    assert statuses[-1].Status == 0x0000
    assert len(received) == 6
    assert {str(one.MoveOriginatorApplicationEntityTitle) for one in received} == {"PYNET"}
    assert {one.MoveOriginatorMessageID for one in received} == {1}


def stored(server: DimseServer, count: int = 1) -> list[int]:
    dataset = pydicom.dcmread(Path(pydicom.data.__file__).parent / "test_files" / "CT_small.dcm")
    entity = AE(ae_title="PYNET")
    entity.add_requested_context(CT, EXPLICIT)
    association = entity.associate("127.0.0.1", server.port, ae_title="MOCK")
    statuses = [association.send_c_store(dataset).Status for _ in range(count)]
    association.release()
    return statuses


def test_what_is_stored_can_be_kept_in_a_folder(tmp_path: Path) -> None:
    with start_blocking_portal() as portal, served(portal, ARCHIVE, store_folder=tmp_path) as mock:
        assert stored(mock) == [0x0000]
    (path,) = tmp_path.iterdir()
    dataset = pydicom.dcmread(path)
    assert path.name == f"{dataset.SOPInstanceUID}.dcm"
    assert len(dataset.PixelData) == 128 * 128 * 2


def test_what_is_stored_is_bounded() -> None:
    with (
        start_blocking_portal() as portal,
        served(portal, ARCHIVE, max_stored_bytes=50_000) as mock,
    ):
        assert stored(mock, 3) == [0x0000, 0xA700, 0xA700]


def test_what_could_not_be_written_takes_no_room(tmp_path: Path) -> None:
    folder = tmp_path / "later"
    with (
        start_blocking_portal() as portal,
        served(portal, ARCHIVE, store_folder=folder, max_stored_bytes=50_000) as mock,
    ):
        assert stored(mock, 2) == [0xA700, 0xA700]
        folder.mkdir()
        assert stored(mock) == [0x0000]


def test_an_ae_title_that_is_none_is_said() -> None:
    with pytest.raises(ConfigError, match="AE title is not valid"):
        DimseServer(ARCHIVE, options=DimseOptions(ae_title="far too long for a title"))
