"""What Kibana takes, as far as our files use it: each object closed, so a name that it does not know is an error.

Source: types of saved objects in Kibana 8.9 to 8.17 (Lens `FormBasedPersistedState`, `XYState`,
`MetricVisualizationState`, `DatatableVisualizationState`; dashboard `DashboardAttributes`), bodies of "Create a rule"
and "Update a rule", and the parameters of the rule type `.es-query`; read November 2026.
"""

# The names are Kibana's, and a class has the name of its type there.
# ruff: noqa: D101, N815

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, Json


class Closed(BaseModel):
    """Nothing beside the fields, no conversion."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Reference(Closed):
    type: Literal["index-pattern", "lens"]
    id: str
    name: str


class Query(Closed):
    language: Literal["kuery"]
    query: str


class Format(Closed):
    id: Literal["number", "percent", "duration"]
    params: dict[str, int | str]


class Params(Closed):
    """Of a plain operation."""

    format: Format | None = None
    emptyAsNull: bool | None = None
    percentile: Annotated[int, Field(gt=0, lt=100)] | None = None


class Column(Closed):
    label: str
    customLabel: Literal[True] | None = None
    dataType: Literal["number", "string", "date"]
    isBucketed: bool
    scale: Literal["ratio", "ordinal", "interval"]


class Plain(Column):
    operationType: Literal["count", "sum", "percentile"]
    sourceField: str
    filter: Query | None = None
    params: Params


class HistogramParams(Closed):
    interval: Literal["auto"]
    includeEmptyRows: bool
    dropPartials: bool


class Histogram(Column):
    operationType: Literal["date_histogram"]
    sourceField: Literal["@timestamp"]
    params: HistogramParams


class OrderBy(Closed):
    type: Literal["column", "custom"]
    columnId: str | None = None


class TermsParams(Closed):
    size: Annotated[int, Field(ge=1, le=1000)]
    orderBy: OrderBy
    orderAgg: Plain | None = None
    orderDirection: Literal["asc", "desc"]
    otherBucket: bool
    missingBucket: bool
    parentFormat: dict[Literal["id"], Literal["terms"]]


class Terms(Column):
    operationType: Literal["terms"]
    sourceField: str
    params: TermsParams


class FormulaParams(Closed):
    formula: str
    isFormulaBroken: Literal[False]
    format: Format


class Formula(Column):
    operationType: Literal["formula"]
    params: FormulaParams
    references: list[str]


class Location(Closed):
    min: int
    max: int


class Call(Closed):
    type: Literal["function"]
    name: Literal["divide"]
    args: list[str]
    location: Location
    text: str


class Math(Column):
    operationType: Literal["math"]
    params: dict[Literal["tinymathAst"], Call]
    references: list[str]


AnyColumn = Annotated[Plain | Histogram | Terms | Formula | Math, Field(discriminator="operationType")]


class Layer(Closed):
    columns: dict[str, AnyColumn]
    columnOrder: list[str]
    incompleteColumns: dict[str, Any]


class FormBased(Closed):
    layers: dict[str, Layer]


class DatasourceStates(Closed):
    formBased: FormBased


class Metric(Closed):
    layerId: str
    layerType: Literal["data"]
    metricAccessor: str


class TableColumn(Closed):
    columnId: str


class Sorting(Closed):
    columnId: str
    direction: Literal["asc", "desc"]


class Table(Closed):
    layerId: str
    layerType: Literal["data"]
    columns: list[TableColumn]
    sorting: Sorting


class Legend(Closed):
    isVisible: bool
    position: Literal["right"]


class XyLayer(Closed):
    layerId: str
    layerType: Literal["data"]
    seriesType: Literal["line"]
    xAccessor: str
    accessors: list[str]
    splitAccessor: str | None = None


class Xy(Closed):
    legend: Legend
    valueLabels: Literal["hide"]
    fittingFunction: Literal["None", "Linear"]
    preferredSeriesType: Literal["line"]
    layers: list[XyLayer]


class LensState(Closed):
    visualization: Metric | Table | Xy
    query: Query
    filters: list[Any]
    datasourceStates: DatasourceStates
    internalReferences: list[Reference]
    adHocDataViews: dict[str, Any]


class LensAttributes(Closed):
    title: str
    description: str
    visualizationType: Literal["lnsMetric", "lnsDatatable", "lnsXY"]
    state: LensState


class Lens(Closed):
    type: Literal["lens"]
    id: str
    coreMigrationVersion: Literal["8.8.0"]
    typeMigrationVersion: Literal["8.9.0"]
    attributes: LensAttributes
    references: list[Reference]


class ViewAttributes(Closed):
    title: str
    name: str
    timeFieldName: Literal["@timestamp"]


class View(Closed):
    type: Literal["index-pattern"]
    id: str
    attributes: ViewAttributes
    references: list[Reference]


class Grid(Closed):
    x: int
    y: int
    w: int
    h: int
    i: str


class Embedded(Closed):
    enhancements: dict[str, Any]
    hidePanelTitles: bool = False


class BoardPanel(Closed):
    type: Literal["lens"]
    gridData: Grid
    panelIndex: str
    panelRefName: str
    embeddableConfig: Embedded


class Control(Closed):
    type: Literal["optionsListControl"]
    order: int
    width: Literal["small", "medium", "large"]
    grow: bool
    explicitInput: dict[Literal["id", "fieldName", "title"], str]


class Controls(Closed):
    chainingSystem: Literal["HIERARCHICAL"]
    controlStyle: Literal["oneLine"]
    ignoreParentSettingsJSON: Json[dict[str, bool]]
    panelsJSON: Json[dict[str, Control]]


class SearchSource(Closed):
    query: Query
    filter: list[Any]


class Meta(Closed):
    searchSourceJSON: Json[SearchSource]


class BoardAttributes(Closed):
    title: str
    description: str
    panelsJSON: Json[list[BoardPanel]]
    optionsJSON: Json[dict[str, bool]]
    controlGroupInput: Controls
    timeRestore: bool
    timeFrom: str
    timeTo: str
    kibanaSavedObjectMeta: Meta


class Board(Closed):
    type: Literal["dashboard"]
    id: str
    coreMigrationVersion: Literal["8.8.0"]
    typeMigrationVersion: Literal["8.9.0"]
    attributes: BoardAttributes
    references: list[Reference]


SavedObject = Annotated[View | Lens | Board, Field(discriminator="type")]


class EsqlQuery(Closed):
    esql: Annotated[str, Field(min_length=1)]


class RuleParams(Closed):
    """An ES|QL query has the limit itself: Kibana refuses any threshold but `> 0`."""

    searchType: Literal["esqlQuery"]
    esqlQuery: EsqlQuery
    timeField: Annotated[str, Field(min_length=1)]
    timeWindowSize: Annotated[int, Field(ge=1)]
    timeWindowUnit: Literal["s", "m", "h", "d"]
    size: Annotated[int, Field(ge=0, le=100)]  # 100 is the most on serverless, 10,000 elsewhere
    threshold: Annotated[list[Literal[0]], Field(min_length=1, max_length=1)]
    thresholdComparator: Literal[">"]
    aggType: Literal["count"]
    groupBy: Literal["all"]
    excludeHitsFromPreviousRun: bool


class Schedule(Closed):
    interval: Annotated[str, Field(pattern=r"^[1-9]\d*[smhd]$")]


class Action(Closed):
    group: str | None = None
    id: str
    params: dict[str, Any]
    frequency: dict[str, Any] | None = None
    uuid: str | None = None


class RuleChange(Closed):
    """The body of an update: it must not name the type, the consumer or whether the rule is on."""

    name: str
    tags: list[str]
    schedule: Schedule
    params: RuleParams
    actions: list[Action]
    throttle: str | None = None
    notify_when: Literal["onActionGroupChange", "onActiveAlert", "onThrottleInterval"] | None = None


class Rule(RuleChange):
    """The body of a creation."""

    rule_type_id: Literal[".es-query"]
    consumer: Literal["stackAlerts", "alerts"]
    enabled: bool
